"""PySpark 3.5, which EMR 7 runs: a home beside the installed PySpark 4, for tests that must hold on both.

    home()                                  # a SPARK_HOME: its bin/spark-submit, its jars, S3A among them
    python(), variables()                   # the archive's Python, as on a cluster, with this PySpark and pytest

`python -m tests.spark35 -m pytest tests/jobs` runs these tests there.

PySpark 3.5 brings Hadoop 3.3.4, whose S3A wants another AWS SDK than the jars of `make s3-jars`, and EMR 7 has Hadoop 3.4 anyway.
Here the Hadoop of the installed PySpark 4 (3.5) takes its place with those jars; Spark reaches Hadoop through two client jars alone.
It is made once, in `.pomona/spark35/`, in a minute or two.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pomona_airflow.code_zip import code_zip
from pomona_airflow.emr import packages
from pomona_airflow.spark import s3_jars
from run import environment_archive

PROJECT = Path(__file__).resolve().parent.parent
LOCK = PROJECT / "requirements-spark35.lock"
STATE = PROJECT / ".pomona"
_HADOOP = "hadoop-client-*.jar"
# What tests need beside the job's own packages: pytest, and MLflow's database in a file.
_OF_TESTS = ["pytest", "pytest-timeout", "iniconfig", "pluggy", "pygments", "psutil", "sqlalchemy", "greenlet", "alembic", "mako"]


class NoSpark35(RuntimeError):
    """PySpark 3.5 could not be made; the text says why."""


def home() -> Path:
    """A SPARK_HOME with PySpark 3.5, made first where it is missing; others that want it meanwhile wait.

    Raises
    ------
    NoSpark35, s3_jars.NoJars
        When the packages or the jars for event logs on s3:// cannot be had.
    """
    folder = STATE / "spark35" / _key()
    with _once(folder) as missing:
        if missing:
            s3_jars.fetch(STATE / "s3-jars")
            _install(LOCK.read_text(), folder / "packages")
            _arrange(folder / "home", folder / "packages" / "pyspark")
    return folder / "home"


def python() -> Path:
    """The Python of the environment that `make package` packs, unpacked; the archive is built first where it is missing.

    Raises
    ------
    NoSpark35, NotReady
        When packages cannot be had.
    """
    folder = STATE / "spark35" / f"python-{_digest(packages.environment_name(), *_OF_TESTS)}"
    with _once(folder) as missing:
        if missing:
            (folder / "environment").mkdir()
            subprocess.run(
                ["tar", "-xzf", str(environment_archive.kept(STATE)), "-C", str(folder / "environment")],
                stdin=subprocess.DEVNULL,
                check=True,
            )
            _install(blocks((PROJECT / "requirements.lock").read_text(), _OF_TESTS), folder / "tests")
    return folder / "environment" / "bin" / "python"


def variables(*more: Path) -> dict[str, str]:
    """This process's environment, less what leads to its own PySpark, for `python()` to find 3.5, pytest and what stands in `more`."""
    foreign = ("SPARK_", "PYSPARK_", "PYTHON", "POMONA_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign) or name == "POMONA_REAL_IMAGES"}
    path = [*(home() / "python" / "lib").iterdir(), python().parents[2] / "tests", *more]
    return own | {"SPARK_HOME": str(home()), "PYTHONPATH": os.pathsep.join(map(str, path))}


@contextmanager
def _once(folder: Path) -> Iterator[bool]:
    """Whether the folder must be made, empty now and under a lock; when the block ends well it is taken for made."""
    if (folder / "ready").exists():
        yield False
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not (folder / "ready").exists()
        if missing:
            for left in folder.iterdir():
                shutil.rmtree(left)
        yield missing
        (folder / "ready").touch()


def _install(lock: str, folder: Path) -> None:
    """The packages of the lock, in a folder of their own; PySpark is built from its sources, by the setuptools of the main lock."""
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", sys.executable, "--target", str(folder)]
    words = [*uv, "--no-deps", "--no-build-isolation", "--require-hashes", "-r", "-"]
    done = subprocess.run(words, input=lock, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoSpark35(f"{folder.name} could not be installed: {(done.stderr.strip() or 'no output').splitlines()[-1]}")


def blocks(lock: str, names: list[str]) -> str:
    """The lines of the lock that pin these packages."""
    blocks = [block for block in re.split(r"(?m)^(?=[a-z0-9])", lock) if block.split("==")[0] in names]
    return "".join(blocks)


def _arrange(made: Path, package: Path) -> None:
    """Links: 3.5's own jars but Hadoop's, the newer Hadoop, S3A; PySpark as a folder of the zip's name, so that it is compiled once."""
    own = [jar for jar in (package / "jars").iterdir() if not jar.match(_HADOOP)]
    hadoop = list((_installed() / "jars").glob(_HADOOP))
    py4j = next((package / "python" / "lib").glob("py4j-*-src.zip"))
    for link, target in {
        **{made / "jars" / jar.name: jar for jar in (*own, *hadoop, *s3_jars.present(STATE / "s3-jars"))},
        made / "bin": package / "bin",
        made / "sbin": package / "sbin",
        made / "python" / "lib" / "pyspark.zip" / "pyspark": package,
        made / "python" / "lib" / py4j.name: py4j,
    }.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _installed() -> Path:
    """The package folder of the PySpark that is installed, found without importing it."""
    found = importlib.util.find_spec("pyspark")
    if found is None or found.origin is None:
        raise NoSpark35("pyspark is not installed: run make setup")
    return Path(found.origin).parent


def _key() -> str:
    """A folder name that changes with the lock, with what the jars come from, and with how they are arranged."""
    said = [LOCK.read_text(), s3_jars.LIST.read_text(), inspect.getsource(_arrange), str(_installed())]
    return _digest(*said, *sorted(jar.name for jar in (_installed() / "jars").glob(_HADOOP)))


def _digest(*said: str) -> str:
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]


def main(words: list[str]) -> int:
    """The exit code of the words, given to the archive's Python with PySpark 3.5; without any, where its home is."""
    if not words:
        print(home())
        return 0
    # Workers have the package from its zip, as on a cluster; pytest itself puts the folder first for what it imports.
    return subprocess.run([python(), *words], env=variables(code_zip(STATE / "code")), cwd=PROJECT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
