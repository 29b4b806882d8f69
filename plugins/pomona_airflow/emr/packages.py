"""What a cluster on AWS is given: the entry point, the code as a zip, and the Python environment, each named after what is in it.

Code and entry change with every commit and are put in place when a stage is submitted; the environment, which is large, by `make package`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pomona_airflow.code_zip import code_zip
from pomona_airflow.deployment import PROJECT, Deployment, NotReady

LOCK = PROJECT / "requirements-job.lock"
ENTRY = PROJECT / "spark_jobs" / "run_stage.py"


@dataclass(frozen=True)
class Packages:
    """Where the three of them lie, as URIs."""

    entry: str
    code: str
    environment: str


def packages(deployment: Deployment) -> Packages:
    """The packages of today's code and lock; entry and code are put in place where they are missing.

    Raises
    ------
    NotReady
        When the environment is missing, or when the place refuses.
    """
    place = deployment.emr.packages
    with _told():
        from pomona.storage import storage

        store = storage(place, deployment.s3)
        if not store.exists(environment_name()):
            raise NotReady(f"{environment_name()} is not in {place}: run make package")
        found = {}
        for name, file in code_and_entry(deployment).items():
            if not store.exists(name):
                store.put(name, file.read_bytes())
            found[file.suffix] = store.location(name)
        return Packages(entry=found[".py"], code=found[".zip"], environment=store.location(environment_name()))


def code_and_entry(deployment: Deployment) -> dict[str, Path]:
    """The files of this machine that are to lie under these names."""
    code = code_zip(deployment.state / "code")
    return {code.name: code, f"{ENTRY.stem}-{_digest(ENTRY)}{ENTRY.suffix}": ENTRY}


def environment_name() -> str:
    """The name of the archive that belongs to the lock of today."""
    return f"environment-{_digest(LOCK)}.tar.gz"


def missing(deployment: Deployment) -> list[str]:
    """Which of the three names the place has not.

    Raises
    ------
    NotReady
        When the place is no bucket that can be listed.
    """
    with _told():
        from pomona.storage import storage

        there = storage(deployment.emr.packages, deployment.s3).names("")
    return [name for name in (environment_name(), *code_and_entry(deployment)) if name not in there]


def put(deployment: Deployment, name: str, file: Path) -> None:
    """Puts the file there, whole or not at all.

    Raises
    ------
    NotReady
        When the place refuses.
    """
    with _told():
        from pomona.storage import storage

        storage(deployment.emr.packages, deployment.s3).put(name, file.read_bytes())


@contextmanager
def _told() -> Iterator[None]:
    """What no retry mends, as what a deployment lacks."""
    from pomona.outcome import BadInput

    try:
        yield
    except BadInput as fault:
        raise NotReady(str(fault)) from None


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
