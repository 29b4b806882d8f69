"""`make package`: builds what a cluster on AWS is given, proves it in a clean root file system, and puts it where the settings say.

A line for each thing; what is there already is left as it is.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pomona.store_faults import StoreAway
from pomona_airflow.deployment import Deployment, NotReady, of_others
from pomona_airflow.emr import packages
from pomona_airflow.settings.checks import BadSetting
from run.clean_root import prove
from run.environment_archive import GLIBC, kept


def main() -> str:
    """What went wrong, in a line; empty when all is in place."""
    os.environ |= of_others()
    try:
        deployment = Deployment.from_environment()
        wanted = packages.missing(deployment)
        environment, files = packages.environment_name(), packages.code_and_entry(deployment)
        for name in (environment, *files):
            if name not in wanted:
                _tell(name, f"is in {deployment.emr.packages}")
        if wanted:
            files = {environment: _built(deployment, environment), **files}
            _prove(deployment, *files.values())
        for name in wanted:
            started = time.monotonic()
            packages.put(deployment, name, files[name])
            _tell(name, f"{_size(files[name])} put into {deployment.emr.packages}", started)
    except (NotReady, BadSetting, StoreAway) as error:
        return str(error)
    return ""


def _built(deployment: Deployment, name: str) -> Path:
    started, there = time.monotonic(), (deployment.state / "packages" / name).exists()
    archive = kept(deployment.state)
    if not there:
        _tell(name, f"{_size(archive)} built from {packages.LOCK.name}, for glibc {GLIBC[0]}.{GLIBC[1]} or later", started)
    return archive


def _prove(deployment: Deployment, archive: Path, code: Path, _: Path) -> None:
    started = time.monotonic()
    _tell("proof", prove(archive, code, deployment.state), started)


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1e6:.0f} MB" if size > 1e6 else f"{size / 1e3:.0f} kB"


def _tell(name: str, line: str, started: float | None = None) -> None:
    print(f"{name:<40} {line}" + (f" ({time.monotonic() - started:.1f} s)" if started is not None else ""), flush=True)


if __name__ == "__main__":
    sys.exit(main() or None)
