"""The jars that Spark reads and writes event logs on S3 with: fetched once by `make s3-jars`, each checked against conf/s3-jars.txt.

PySpark brings no S3A. Ivy, which it does bring, fetches what the list names; a machine without a way out gets the same files copied
into the folder by hand (`python -m pomona_airflow.spark.s3_jars --list` names them).
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pomona_airflow.deployment import PROJECT, Deployment, NotReady
from pomona_airflow.spark.java import java_home
from pomona_airflow.spark.s3a import on_s3

LIST = PROJECT / "conf" / "s3-jars.txt"
_SETTINGS = PROJECT / "conf" / "ivy.xml"
_TIMEOUT_S = 600


class NoJars(NotReady):
    """The jars are not there, or are not those of the list; the text names the remedy."""


@dataclass(frozen=True)
class Jar:
    """A line of the list."""

    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def is_in(self, folder: Path) -> bool:
        """Whether the folder has this very file."""
        path = folder / self.file
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


def listed(path: Path = LIST) -> list[Jar]:
    """The jars that the list names, in its order."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return [Jar(sha256, *coordinates.split(":")) for sha256, coordinates in lines]


def present(folder: Path) -> list[Path]:
    """The files in the folder, all of them there; their hashes were checked when they came.

    Raises
    ------
    NoJars
        When one is missing.
    """
    files = [folder / jar.file for jar in listed()]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise NoJars(f"{len(missing)} of {len(files)} jars for event logs on s3:// are missing in {folder}: run make s3-jars")
    return files


def needed(deployment: Deployment) -> list[Path]:
    """The jars that Spark must have for this deployment: all of them when its event logs lie on S3, else none.

    Raises
    ------
    NoJars
        When one is missing.
    """
    return present(deployment.s3_jars) if on_s3(deployment) else []


def fetch(folder: Path) -> str:
    """One line on what was fetched; what is there and right stays, and a file only ever appears whole and checked.

    Raises
    ------
    NoJars
        When a jar could not be fetched, or is not the one of the list.
    """
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(".fetching-*"):
            shutil.rmtree(left)
        wanted = [jar for jar in listed() if not jar.is_in(folder)]
        if wanted:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as scratch:
                _fetch_into(Path(scratch), wanted)
                wrong = [jar for jar in wanted if not jar.is_in(Path(scratch))]
                if wrong:
                    raise NoJars(f"{wrong[0].file} has not the SHA-256 of conf/s3-jars.txt: nothing was kept, try again later")
                for jar in wanted:
                    (Path(scratch) / jar.file).replace(folder / jar.file)
    size = sum(file.stat().st_size for file in present(folder)) / 1e6
    seconds = time.monotonic() - started
    return f"{len(listed())} jars for event logs on s3://, {size:.0f} MB, {len(wanted)} of them fetched in {seconds:.1f} s: {folder}"


def _fetch_into(scratch: Path, wanted: list[Jar]) -> None:
    module = scratch / "module.xml"
    lines = (
        f'<dependency org="{jar.group}" name="{jar.artifact}" rev="{jar.version}" transitive="false" conf="default->default"/>'
        for jar in wanted
    )
    module.write_text(
        '<ivy-module version="2.0"><info organisation="pomona" module="s3-jars"/><configurations><conf name="default"/></configurations>'
        f"<dependencies>{''.join(lines)}</dependencies></ivy-module>"
    )
    command = [str(java_home() / "bin" / "java"), "-cp", _ivy(), "org.apache.ivy.Main", "-settings", str(_SETTINGS), "-ivy", str(module)]
    command += ["-cache", str(scratch / "cache"), "-retrieve", f"{scratch}/[artifact]-[revision].[ext]"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoJars(f"the jars did not come within {_TIMEOUT_S} s: nothing was kept, try again later") from None
    if done.returncode:
        reason = _reason(done.stdout + done.stderr)
        raise NoJars(f"the jars could not be fetched ({reason}): nothing was kept; this machine must reach Maven Central")


def _reason(said: str) -> str:
    """The first line of Ivy's complaints that names a cause."""
    lines = [line.strip() for line in said.splitlines()]
    telling = [line for line in lines if any(word in line for word in ("not found", "FAILED", "rror", "xception", "timed out"))]
    return (telling or [line for line in lines if line] or ["no output"])[0]


def _ivy() -> str:
    """The class path of the Ivy that PySpark brings."""
    package = importlib.util.find_spec("pyspark")
    if package is None or package.origin is None:
        raise NoJars("pyspark is not installed: run make setup")
    jars = Path(package.origin).parent / "jars"
    return ":".join(str(next(jars.glob(pattern))) for pattern in ("ivy-*.jar", "commons-cli-*.jar"))


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f"{jar.file}  {jar.group}:{jar.artifact}:{jar.version}" for jar in listed()))
    else:
        try:
            print(fetch(Deployment.from_environment().s3_jars))
        except (NotReady, ValueError) as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            sys.exit("interrupted: nothing of it was kept, make s3-jars starts anew")
