"""A machine of EMR's on this one: fetches what a job needs by the URIs that it was given, and starts it with nothing of this project's."""

from __future__ import annotations

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from pomona_airflow.spark.java import java_home
from tests import spark35
from tests.emr.submission import Submission
from tests.s3_server import Server

# What a release of EMR says in its own spark-defaults.conf, as far as it matters here.
_DEFAULTS = "spark.driver.host 127.0.0.1\nspark.driver.bindAddress 127.0.0.1\nspark.ui.enabled false\n"
# The entry point with another job in the stage's place: it tells when it works, waits for its gate, and writes nothing but its manifest.
_STUB = """
import os, runpy, sys, time, types
from pathlib import Path
sys.path[:0] = [os.environ["STUB_CODE"]]
from pomona.outcome import Result
gate = Path(os.environ["STUB_GATE"])
def run(work):
    def book(what):
        with open(os.environ["STUB_BOOK"], "a") as file:
            file.write(f"{what} {os.getpid()} {work.order.stage.name} {work.order.job}\\n")
    book("begins")
    try:
        while not gate.exists():
            time.sleep(0.1)
        fault = Path(f"{gate}.fault")
        if fault.exists():
            fault.unlink()
            raise RuntimeError("a fault, as the test wants it")
        return Result("the stub has done it", {name: [] for name in work.order.stage.writes})
    finally:
        book("ends")
sys.argv = sys.argv[1:]
module = types.ModuleType(f"pomona.jobs.{sys.argv[1]}")
module.run = run
sys.modules[module.__name__] = module
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass
class Node:
    """Runs submissions in folders of its own; `executors`: that many in processes of their own; `stub`: without Spark, see above."""

    s3: Server
    folder: Path
    stub: bool = False
    executors: int = 0

    def __post_init__(self) -> None:
        (self.folder / "conf").mkdir(parents=True, exist_ok=True)
        (self.folder / "conf" / "spark-defaults.conf").write_text(_DEFAULTS)

    @property
    def gate(self) -> Path:
        """Stubs wait until this file is there; where one of the same name and `.fault` is beside it, the next stub fails."""
        return self.folder / "gate"

    @property
    def book(self) -> list[list[str]]:
        """What stubs told: ["begins" or "ends", process, stage, job]."""
        path = self.folder / "book"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def begin(self, submission: Submission, folder: Path) -> subprocess.Popen[bytes]:
        """The driver's process, the leader of its own session; output in `stdout` and `stderr` of the folder."""
        (folder / "tmp").mkdir(parents=True)
        files = {uri: str(self._fetched(uri)) for uri in (submission.entry, *submission.py_files)}
        for archive in submission.archives:
            uri, _, name = archive.partition("#")
            (folder / name).symlink_to(self._unpacked(uri))
        environment = {**self._machine(folder), **submission.executor_environment, **submission.driver_environment}
        if self.stub:
            python = environment.get("PYSPARK_DRIVER_PYTHON") or environment["PYSPARK_PYTHON"]
            command = [python, "-c", _STUB, files[submission.entry], *submission.words]
            environment |= {"STUB_CODE": files[submission.py_files[0]], "STUB_BOOK": f"{self.folder}/book", "STUB_GATE": str(self.gate)}
        else:
            home = spark35.home()
            command = submission.command(str(home / "bin" / "spark-submit"), self._master(), files, self._executors(submission))
            environment |= {"SPARK_HOME": str(home), "SPARK_CONF_DIR": str(self.folder / "conf")}
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            return subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )

    def _master(self) -> str:
        return f"local-cluster[{self.executors},1,1024]" if self.executors else "local[2]"

    def _executors(self, submission: Submission) -> dict[str, str]:
        """Executors of a size that the workers have; their folders get the archive from Spark itself."""
        if not self.executors:
            return {}
        local = [f"file://{self._fetched(uri)}#{name}" for uri, _, name in (one.partition("#") for one in submission.archives)]
        return {"spark.archives": ",".join(local), "spark.executor.cores": "1", "spark.executor.memory": "700m"}

    def _machine(self, folder: Path) -> dict[str, str]:
        """A node's environment, AWS's keys in it as a role would give them."""
        java = java_home()
        return {
            "PATH": f"{java}/bin:/usr/bin:/bin",
            "JAVA_HOME": str(java),
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "SPARK_LOCAL_DIRS": str(folder / "tmp"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            **self.s3.environment,
        }

    def _fetched(self, uri: str) -> Path:
        """The file of this URI, fetched once: the names of packages say what is in them."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        path = self.folder / "files" / bucket / key
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.s3.client().download_file(bucket, key, f"{path}.part")
            Path(f"{path}.part").rename(path)
        return path

    def _unpacked(self, uri: str) -> Path:
        """The folder with what is in the archive, unpacked once and linked to, as YARN does it."""
        path = self._fetched(uri)
        folder = path.parent / f"{path.name}.unpacked"
        if not folder.exists():
            with tarfile.open(path) as archive:
                archive.extractall(f"{folder}.part", filter="fully_trusted")
            Path(f"{folder}.part").rename(folder)
        return folder


def wrapped(python: str, folder: Path) -> Path:
    """An archive like the packed environment, whose Python is this one: for stubs, which need no Spark."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    script.chmod(0o755)
    path = folder / "environment.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(script, "bin/python")
    return path
