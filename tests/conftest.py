"""What the suites share: one Spark session, a small drawn orchard, and runs of stages in this process."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pomona import command
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.outcome import Result
from pomona.stages import STAGES
from pomona.work import Work

PROJECT = Path(__file__).resolve().parent.parent
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Knobs that make a drawn orchard of a few dozen pictures a matter of seconds.
SMALL = {
    "preset": "fast",
    "n_words": 20,
    "n_components": 12,
    "descriptors_per_word": 40,
    "folds": 0,
    "max_iterations": 100,
    "robustness_images": 6,
}


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """The suite's one Spark session."""
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "SPARK_LOCAL_IP": "127.0.0.1"}
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("tests")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "4",
    }.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    # py4j says goodbye when the interpreter ends, to streams that are closed by then.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    yield session
    session.stop()


@dataclass
class Runs:
    """Runs stages in this process on one lake, as `run_stage.py` does it less lease and outcome file."""

    folder: Path
    landing: Path
    labels: Path | None = None
    unlabelled: Path | None = None
    name: str = "tests"
    knobs: dict[str, Any] = field(default_factory=lambda: dict(SMALL))

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "lake"), self.name).open()

    @property
    def tracking(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    def work(self, run: str, stage: str, **knobs: Any) -> Work:
        resolved = resolve({**self.knobs, **knobs})
        place = command.Place(run, self.name, str(self.folder / "lake"), str(self.landing), self.tracking)
        place = replace(place, annotations=str(self.labels or ""), unlabelled=str(self.unlabelled or ""))
        return Work(command.parse(command.arguments(stage, place, resolved)), self.lake)

    def stage(self, run: str, stage: str, **knobs: Any) -> Result:
        """One stage of the run, done anew; its outcome is written as the entry point writes it."""
        from run_stage import done

        work = self.work(run, stage, **knobs)
        result = done(work)
        outcome = {"stage": stage, "run": run, "status": result.status, "line": result.line, "counts": dict(result.counts)}
        self.lake.put_outcome(run, stage, {**outcome, "effort": work.effort(result.counts), "seconds": work.seconds})
        return result

    def through(self, run: str, last: str = "register", **knobs: Any) -> dict[str, Result]:
        """Every stage of the run up to `last`; it ends early where ingest finds nothing new."""
        results = {}
        for stage in STAGES:
            results[stage] = self.stage(run, stage, **knobs)
            if stage == last or results[stage].status == "nothing_new":
                break
        return results

    def hashes(self, run: str) -> dict[str, str]:
        """SHA-256 of what the run has fitted so far."""
        found = {}
        for stage, dataset in (("learn_vocabulary", "vocabulary"), ("encode", "encoder"), ("train", "model")):
            if self.lake.exists(f"runs/{run}/manifests/{stage}.json"):
                found[dataset] = self.lake.files(run, dataset)[0].sha256
        return found


@pytest.fixture(scope="session")
def orchard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn orchard with no bad file in it: 3 kinds, 2 rotations, 10 frames. Tests copy it before they change it."""
    from demo.orchard import KINDS, draw

    folder = tmp_path_factory.mktemp("orchard")
    draw(folder, frames=10, kinds=list(KINDS)[:3], bad=False)
    return folder


@pytest.fixture
def landing(orchard: Path, tmp_path: Path) -> Path:
    """A copy of the orchard that the test may change."""
    import shutil

    return Path(shutil.copytree(orchard, tmp_path / "landing"))


@pytest.fixture
def runs(spark: Any, landing: Path, tmp_path: Path) -> Runs:
    """Runs on a new lake over a copy of the orchard."""
    return Runs(tmp_path, landing)


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of real photographs, with `fruits10/` and `threebody/`; tests that need it say so where there is none."""
    folder = os.environ.get("POMONA_REAL_IMAGES")
    if not folder:
        pytest.skip("POMONA_REAL_IMAGES is not set: it names a folder that holds fruits10/ and threebody/")
    return Path(folder)
