"""A real `airflow standalone` over a landing folder: arriving images start runs, each is taken in once, no run starts for nothing."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pomona import snapshots, tracking
from pomona.command import run_key
from pomona.lake import Lake
from pomona_airflow import spark_home
from pomona_airflow.deployment import PROJECT
from tests.standalone_airflow import StandaloneAirflow, wait_until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]
NAME = "arriving"
SETTLE_S = 6
RUN_S = 600.0


class Senders:
    """People who send pictures: each one drawn anew, 48 pixels, of one of two labels."""

    def __init__(self, landing: Path) -> None:
        self.landing = landing
        self.sent = 0

    def picture(self) -> tuple[Path, bytes]:
        """Where the next picture goes, and its bytes."""
        number, self.sent = self.sent, self.sent + 1
        label, colour = (("red", (0, 0, 200)), ("green", (0, 200, 0)))[number % 2]
        chance = np.random.default_rng(number)
        image = np.full((48, 48, 3), 255, np.uint8)
        cv2.circle(image, (24, 24), 14, colour, -1)
        for x, y, radius in chance.integers((8, 8, 1), (40, 40, 4), (12, 3)):
            cv2.circle(image, (int(x), int(y)), int(radius), chance.integers(0, 255, 3).tolist(), -1)
        folder = self.landing / ("Test" if number % 5 == 0 else "Training") / label
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{number}.jpg", cv2.imencode(".jpg", image)[1].tobytes()

    def send(self, n: int) -> None:
        for _ in range(n):
            path, data = self.picture()
            path.write_bytes(data)

    def send_at_once(self, n: int) -> float:
        """Puts pictures there that were drawn before; the seconds between the first and the last."""
        staging = self.landing.parent / "staging"
        staging.mkdir(exist_ok=True)
        drawn = [(staging / path.name, path, data) for path, data in (self.picture() for _ in range(n))]
        for here, _, data in drawn:
            here.write_bytes(data)
        started = time.monotonic()
        for here, there, _ in drawn:
            here.rename(there)
        return time.monotonic() - started

    def upload_slowly(self, seconds: float) -> threading.Thread:
        """An upload under its final name that grows all the while."""
        path, data = self.picture()

        def grow() -> None:
            step = len(data) // 20
            with path.open("wb") as file:
                for start in range(0, len(data), step):
                    file.write(data[start : start + step])
                    file.flush()
                    time.sleep(seconds / 20)

        thread = threading.Thread(target=grow)
        thread.start()
        return thread


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder


@contextmanager
def standing(landing: Path, **changes: str) -> Iterator[StandaloneAirflow]:
    """A standalone Airflow over the landing folder, its DAG paused."""
    folder, state = landing.parent, PROJECT / ".pomona"
    spark_home.rehearse(spark_home.prepared(state))
    variables = {
        "POMONA_NAME": NAME,
        "POMONA_LANDING": str(landing),
        "POMONA_LAKE": str(folder / "lake"),
        "POMONA_TRACKING": f"sqlite:///{folder}/mlflow.db",
        "POMONA_STATE": str(state),
        "POMONA_SPARK_MEMORY": "1g",
        "POMONA_MIN_NEW_IMAGES": "5",
        "POMONA_SETTLE_S": str(SETTLE_S),
        "POMONA_MAX_WAIT_S": "3600",
        "POMONA_POLL_S": "2",
    }
    standalone = StandaloneAirflow(folder / "airflow", {**variables, **changes})
    try:
        standalone.start()
        yield standalone
    finally:
        standalone.stop()


@pytest.fixture
def airflow(landing: Path) -> Iterator[StandaloneAirflow]:
    with standing(landing) as standalone:
        yield standalone


def is_over(run: dict[str, Any]) -> bool:
    return run["state"] in ("success", "failed")


def run_number(airflow: StandaloneAirflow, number: int) -> dict[str, Any]:
    """The run of this number, when it has succeeded."""

    def over() -> dict[str, Any] | None:
        runs = airflow.runs()
        return runs[number - 1] if len(runs) >= number and is_over(runs[number - 1]) else None

    run = wait_until(over, RUN_S, f"end of run {number}")
    assert run["state"] == "success", run
    return dict(run)


def test_every_image_that_arrives_is_taken_in_once_and_no_run_starts_for_nothing(airflow, landing):
    senders, lake = Senders(landing), Lake(str(landing.parent / "lake"), NAME)

    # 1. Pictures that came while the DAG was paused, and one whose upload goes on for three times as long as the others take to settle.
    senders.send(39)
    airflow.pause(False)
    upload = senders.upload_slowly(3 * SETTLE_S)
    first = wait_until(airflow.runs, 120, "run")[0]
    assert not upload.is_alive(), "the run did not wait for the end of the upload"
    upload.join()

    # 2. A thousand pictures within a second, while that run is at work and has made its list.
    wait_until(lambda: lake.last_number("snapshots"), RUN_S, "snapshot")
    seconds = senders.send_at_once(1000)
    assert seconds < 1
    assert not is_over(airflow.runs()[0])
    assert [run["dag_run_id"] for run in airflow.runs()] == [first["dag_run_id"]]
    second = run_number(airflow, 2)

    # 3. The triggerer is killed while pictures wait; more come while there is none.
    senders.send(4)
    time.sleep(3)
    assert airflow.kill_triggerer() >= 1
    senders.send(6)
    time.sleep(2 * SETTLE_S)
    assert len(airflow.runs()) == 2, "nobody watched"
    airflow.start_triggerer()
    third = run_number(airflow, 3)

    # 4. A person is faster than the watcher: that run takes the pictures in, and none is started for them afterwards.
    senders.send(8)
    airflow.trigger(note="the new ones from the market")
    fourth = run_number(airflow, 4)
    time.sleep(4 * SETTLE_S)

    runs = airflow.runs()
    assert [run["state"] for run in runs] == ["success"] * 4
    assert [run["run_type"] for run in runs] == ["asset_triggered", "asset_triggered", "asset_triggered", "manual"]
    assert len(airflow.events()) == 3
    assert runs[0]["note"].startswith("Started by: arrival of 40 images, the oldest waited ")
    assert second["note"].startswith("Started by: arrival of 1,000 images, the oldest waited ")
    assert third["note"].startswith("Started by: arrival of 10 images, the oldest waited ")
    assert fourth["note"].splitlines()[0] == "the new ones from the market"
    assert fourth["note"].splitlines()[1].startswith("Started by: person")

    keys = [run_key(run["dag_run_id"]) for run in runs]
    outcomes = [lake.outcome(key, "ingest") for key in keys]
    assert [outcome["status"] for outcome in outcomes if outcome] == ["done"] * 4
    # Each file was read once, by one run, and none of them half-written.
    assert [outcome["counts"]["new"] for outcome in outcomes if outcome] == [40, 1000, 10, 8]
    assert [outcome["counts"]["rejected"] for outcome in outcomes if outcome] == [0, 0, 0, 0]
    snapshot = snapshots.latest(lake)
    on_disk = sorted(str(path.relative_to(landing)) for path in landing.rglob("*.jpg"))
    assert list(snapshot.present["path"]) == on_disk
    assert len(on_disk) == senders.sent == 1058
    assert set(Counter(contents(lake)).values()) == {1}
    assert len(contents(lake)) == 1058

    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    versions = tracking.connect(f"sqlite:///{landing.parent}/mlflow.db").search_model_versions(f"name = '{NAME}'")
    tags = {version.tags["pomona.run"]: version.tags for version in versions}
    assert [tags[key]["pomona.started_by"] for key in keys] == ["arrival", "arrival", "arrival", "person"]
    assert [f"Started by: {tags[key]['pomona.cause']}" for key in keys] == [run["note"].splitlines()[-1] for run in runs]
    summary = lake.document(f"runs/{keys[1]}/summary.json")
    assert summary is not None
    assert summary["started_by"] == tags[keys[1]]["pomona.cause"]


def contents(lake: Lake) -> list[str]:
    """The content of every row of every images part."""
    import pyarrow.parquet as pq

    files = Path(lake.location("parts/images")).glob("*.parquet")
    return [content for file in files for content in pq.read_table(file, columns=["content"])["content"].to_pylist()]


def test_with_a_schedule_beside_it_each_run_says_which_of_the_two_started_it(landing):
    """Switched on, the DAG makes up for its last tick; it finds nothing to learn from, then pictures come."""
    with standing(landing, POMONA_SCHEDULE="0 0 1 1 *") as airflow:
        airflow.pause(False)
        first = wait_until(lambda: [run for run in airflow.runs() if is_over(run)], RUN_S, "end of the scheduled run")[0]
        assert (first["run_type"], first["state"], first["note"]) == ("scheduled", "failed", "Started by: schedule")
        Senders(landing).send(6)
        wait_until(lambda: len(airflow.runs()) == 2 and airflow.runs()[1]["note"], 180, "run for what arrived")
        second = airflow.runs()[1]
        assert second["run_type"] == "asset_triggered"
        assert second["note"].startswith("Started by: arrival of 6 images, the oldest waited ")
