"""PySpark 3.5, which EMR 7 runs: a home beside the installed PySpark 4, for tests that must hold on both.

    SPARK_HOME = home()                     # its bin/spark-submit, its jars, S3A among them
    PYTHONPATH = os.pathsep.join(map(str, libraries(home())))

PySpark 3.5 brings Hadoop 3.3.4, whose S3A wants another AWS SDK than the jars of `make s3-jars`, and EMR 7 has Hadoop 3.4 anyway.
Here the Hadoop of the installed PySpark 4 (3.5) takes its place with those jars; Spark reaches Hadoop through two client jars alone.
It is made once, in `.pomona/spark35/`, in a minute or two.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from pomona_airflow import s3_jars

PROJECT = Path(__file__).resolve().parent.parent
LOCK = PROJECT / "requirements-spark35.lock"
STATE = PROJECT / ".pomona"
_HADOOP = "hadoop-client-*.jar"


class NoSpark35(RuntimeError):
    """PySpark 3.5 could not be made; the text says why."""


def home() -> Path:
    """A SPARK_HOME with PySpark 3.5, made first where it is missing; others that want it meanwhile wait.

    Raises
    ------
    NoSpark35, s3_jars.NoJars
        When the packages or the jars for s3:// places cannot be had.
    """
    folder = STATE / "spark35" / _key()
    made = folder / "home"
    if (folder / "ready").exists():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            for left in folder.iterdir():
                shutil.rmtree(left)
            s3_jars.fetch(STATE / "s3-jars")
            _install(folder / "packages")
            _arrange(made, folder / "packages" / "pyspark")
            (folder / "ready").touch()
    return made


def libraries(spark_home: Path) -> list[Path]:
    """What makes `import pyspark` find this home's, where it stands before everything else on Python's path."""
    return sorted((spark_home / "python" / "lib").iterdir())


def _install(folder: Path) -> None:
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", sys.executable, "--target", str(folder)]
    # Built from its source distribution, by the setuptools of the main lock.
    words = [*uv, "--no-deps", "--no-build-isolation", "--require-hashes", "-r", str(LOCK)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoSpark35(f"{LOCK.name} could not be installed: {(done.stderr.strip() or 'no output').splitlines()[-1]}")


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
    said = [LOCK.read_text(), s3_jars.LIST.read_text(), Path(__file__).read_text(), str(_installed())]
    said += sorted(jar.name for jar in (_installed() / "jars").glob(_HADOOP))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]


if __name__ == "__main__":
    print(home())
