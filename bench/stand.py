"""The place of a measurement: a temporary folder with a lake, a state folder and pictures, gone when the measurement ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Held, Usage, done, used
from demo import orchard
from pomona.command import Place, arguments
from pomona.knobs import resolve
from pomona_airflow.spark.spark_home import CONF, LOOPBACK, prepared, rehearse

PROJECT = Path(__file__).resolve().parents[1]
VARIABLE = "POMONA_REAL_IMAGES"


@dataclass(frozen=True)
class Stand:
    """A folder, and what is run in it."""

    folder: Path

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def settings(self, name: str, landing: Path) -> dict[str, str]:
        """The deployment's variables; MLflow's store too is inside the stand."""
        return {
            "POMONA_NAME": name,
            "POMONA_LANDING": str(landing),
            "POMONA_LAKE": str(self.lake),
            "POMONA_STATE": str(self.state),
            "POMONA_TRACKING": f"sqlite:///{self.state / 'mlflow.db'}",
        }

    def set_up(self) -> None:
        """Spark's home and class archive, which `make run` too makes once."""
        self.state.mkdir(parents=True, exist_ok=True)
        rehearse(prepared(self.state))

    def stage(
        self,
        stage: str,
        name: str,
        landing: Path,
        knobs: Mapping[str, Any],
        *,
        cores: str = "*",
        run: str = "bench",
        held: Held = list,
        memory: bool = True,
    ) -> Usage:
        """Runs one stage of the run as the local engine does, its command as `held` changes it, and says what its process tree used."""
        home = prepared(self.state)
        place = Place(run, name, str(self.lake), str(landing), f"sqlite:///{self.state / 'mlflow.db'}")
        conf = [word for key, value in (CONF | LOOPBACK).items() for word in ("--conf", f"{key}={value}")]
        words = arguments(stage, place, resolve(dict(knobs)))
        command = [
            str(home.submit),
            "--master",
            f"local[{cores}]",
            "--driver-memory",
            "2g",
            *conf,
            str(PROJECT / "spark_jobs" / "run_stage.py"),
            *words,
        ]
        with used(memory=memory) as usage:
            done(held(command), self.folder / f"{name}-{stage}.log", env={**os.environ, **home.environment()}, cwd=self.state)
        return usage


@contextlib.contextmanager
def stand() -> Iterator[Stand]:
    """A stand; its folder is removed at the end, whatever happened. TMPDIR says on which disk it is."""
    folder = Path(tempfile.mkdtemp(prefix="pomona-bench-"))
    try:
        yield Stand(folder)
    finally:
        shutil.rmtree(folder)


def real(name: str) -> Path | None:
    """The folder of real images of that name, or None when there is none."""
    root = os.environ.get(VARIABLE, "")
    folder = Path(root).expanduser().absolute() / name
    return folder if root and folder.is_dir() else None


def pictures(name: str, at: Stand) -> tuple[Path, str]:
    """The real images, or drawn ones in their place; and what they are, for the table."""
    folder = real(name)
    if folder is not None:
        return folder, name
    folder = at.folder / "orchard"
    counts = orchard.draw(folder, frames=96, rotations=6, bad=False)
    return folder, f"{counts['kept']:,} drawn images ({name} is missing: {VARIABLE} names no folder with it)"


def linked(source: Path, target: Path) -> Path:
    """`target`, which is the file `source`: a hard link, or a copy where the disk allows none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)
    return target
