"""The Spark that a stage starts on this machine: PySpark's own files, arranged so that they start fast.

A trivial job took 14.5 s with plain `spark-submit` and takes 5 s with what is prepared here (2 cores, PySpark 4.2, Java 17):

- *Bytecode.* spark-submit puts `pyspark.zip` before everything else; the zip has no bytecode, so the driver and each worker compile
  PySpark anew. Here the name belongs to a folder with a link to the installed, compiled package.
- *Class-data sharing.* Half of the JVM's start is loading 15,000 classes. A rehearsal writes them to an archive that the JVM maps.
  An archive that does not fit (other Java, other jars) is left aside by the JVM itself.

`python -m pomona_airflow.spark.spark_home` prepares both; the second call finds them.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.spark.java import java_home
from pomona_airflow.spark.s3_jars import needed
from pomona_airflow.spark.s3a import events_in

# Level 1 compiles at once and lightly: a stage's JVM lives for seconds and leaves the arithmetic to NumPy.
FAST_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_QUIET_ARCHIVE = "-Xshare:auto -Xlog:disable -Xlog:all=error:stderr"


@dataclass(frozen=True)
class SparkHome:
    """A folder that serves as SPARK_HOME, and the archive that belongs to it (which may not exist yet)."""

    folder: Path
    java: Path

    @property
    def submit(self) -> Path:
        return self.folder / "bin" / "spark-submit"

    @property
    def archive(self) -> Path:
        return self.folder / "classes.jsa"

    def environment(self, *, extra_java: str = "", local: bool = True) -> dict[str, str]:
        """The variables that spark-submit of this home needs, with the archive when there is one; `local` keeps all on loopback."""
        log4j = f'-Dlog4j2.configurationFile="{(PROJECT / "conf" / "log4j2.properties").as_uri()}"'
        share = f'{_QUIET_ARCHIVE} -XX:SharedArchiveFile="{self.archive}"' if self.archive.exists() else ""
        return {
            "SPARK_HOME": str(self.folder),
            # A folder with files in it on the class path makes the archive unusable, so no conf folder.
            "SPARK_CONF_DIR": str(self.folder / "conf"),
            "SPARK_LAUNCHER_OPTS": FAST_START,
            "SPARK_SUBMIT_OPTS": " ".join((FAST_START, log4j, extra_java or share)),
            "JAVA_HOME": str(self.java),
            # No look-up of this machine's name, no port open to the network.
            **({"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost"} if local else {}),
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "PYTHONUTF8": "1",
            "LC_ALL": "C.UTF-8",
        }


def home_of(deployment: Deployment) -> SparkHome:
    """The home that this deployment needs.

    Raises
    ------
    NotReady
        When Java is missing, or the jars for event logs on s3://.
    """
    return prepared(deployment.state, needed(deployment))


def prepared(state: Path, more_jars: Sequence[Path] = ()) -> SparkHome:
    """The home for this Java, this PySpark and these jars beside its own; made when missing, in milliseconds, without the archive."""
    java = java_home()
    package = Path(next(iter(_package("pyspark"))))
    home = SparkHome(state / "spark" / _key(java, package, more_jars), java)
    libraries = home.folder / "python" / "lib"
    if (home.folder / "ready").exists():
        return home
    py4j = next((package / "python" / "lib").glob("py4j-*-src.zip")).name
    jars = home.folder / "jars"
    for link, target in {
        **({jars / jar.name: jar for jar in (*(package / "jars").iterdir(), *more_jars)} if more_jars else {jars: package / "jars"}),
        home.folder / "bin": package / "bin",
        libraries / "pyspark.zip" / "pyspark": package,
        libraries / py4j / "py4j": Path(next(iter(_package("py4j")))),
    }.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        # Two runs may be here at once; both would make the same link.
        if not link.is_symlink():
            spare = link.with_name(f"{link.name}.{os.getpid()}")
            spare.symlink_to(target)
            spare.replace(link)
    (home.folder / "ready").touch()
    return home


def rehearse(home: SparkHome) -> str:
    """One line on what became of the archive; made once, under a lock, and only ever seen whole."""
    with (home.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.archive.exists():
            return f"Spark's class archive is there: {home.archive}"
        started = time.monotonic()
        spare = home.archive.with_suffix(".part")
        spare.unlink(missing_ok=True)
        environment = {**os.environ, **home.environment(extra_java=f'-XX:ArchiveClassesAtExit="{spare}" -Xlog:disable')}
        with tempfile.TemporaryDirectory() as events:
            flags = _flags(CONF | LOOPBACK | events_in(events))
            command = [str(home.submit), "--master", "local[2]", *flags, str(Path(__file__).with_name("rehearsal.py"))]
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
            )
        if done.returncode or not spare.exists():
            last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
            return f"Spark starts without a class archive, some 3 s slower a stage (the rehearsal ended with {done.returncode}: {last})"
        spare.replace(home.archive)
        return f"Spark's class archive made in {time.monotonic() - started:.0f} s: {home.archive}"


LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
CONF = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    "spark.executorEnv.OMP_NUM_THREADS": "1",
}


def _flags(conf: dict[str, str]) -> list[str]:
    return [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]


def _package(name: str) -> list[str]:
    """Where a package is installed, found without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} is not installed: run make setup")
    return list(found.submodule_search_locations)


def _key(java: Path, package: Path, more_jars: Sequence[Path]) -> str:
    """A folder name that changes with Java, PySpark, the jars beside its own and the places of them all."""
    release = java / "release"
    said = release.read_text() if release.exists() else str((java / "bin" / "java").stat().st_mtime_ns)
    jars = " ".join(str(jar) for jar in more_jars)
    digest = hashlib.sha256(f"{java}\n{package}\n{said}\n{jars}\n{Path(__file__).read_text()}".encode()).hexdigest()
    return f"{importlib.metadata.version('pyspark')}-{digest[:12]}"


if __name__ == "__main__":
    print(rehearse(home_of(Deployment.from_environment())))
