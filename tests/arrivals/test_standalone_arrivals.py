"""A real `airflow standalone` over a landing folder: arriving images start runs, each is taken in once, no run starts for nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pomona import snapshots, tracking
from pomona.command import run_key
from pomona.lake import Lake
from pomona_airflow.deployment import PROJECT
from pomona_airflow.spark import spark_home
from tests.standalone_airflow import StandaloneAirflow
from tests.waiting import wait_until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(5400)]
NAME = "arriving"
SETTLE_S = 6
RUN_S = 1200.0


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


def ingested(lake: Lake, runs: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """Of each run: what became of its ingest, how many files it read, how many of all it refuses."""
    found = [lake.outcome(run_key(run["dag_run_id"]), "ingest") or {} for run in runs]
    return [(outcome["status"], outcome["counts"]["new"], outcome["counts"]["rejected"]) for outcome in found]


def tags(landing: Path, runs: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The tags of the version that each run has registered."""
    versions = tracking.connect(f"sqlite:///{landing.parent}/mlflow.db").search_model_versions(f"name = '{NAME}'")
    found = {version.tags["pomona.run"]: version.tags for version in versions}
    return [found[run_key(run["dag_run_id"])] for run in runs]


def test_every_image_that_arrives_is_taken_in_once_and_no_run_starts_for_nothing(airflow, landing):
    senders, lake = Senders(landing), Lake(str(landing.parent / "lake"), NAME)

    # Pictures that came while the DAG was paused, and one whose upload goes on for three times as long as the others take to settle.
    senders.send(39)
    airflow.pause(False)
    upload = senders.upload_slowly(3 * SETTLE_S)
    wait_until(airflow.runs, 300, "run")
    assert not upload.is_alive(), "the run did not wait for the end of the upload"

    # More while that run is at work and has made its list; the triggerer is killed, and more come while there is none.
    wait_until(lambda: lake.last_number("snapshots"), RUN_S, "snapshot")
    senders.send(4)
    time.sleep(2)
    assert airflow.kill_triggerer() >= 1
    senders.send(6)
    run_number(airflow, 1)
    time.sleep(2 * SETTLE_S)
    assert len(airflow.runs()) == 1, "nobody watched"
    airflow.start_triggerer()
    run_number(airflow, 2)

    # A thousand within a second.
    seconds = senders.send_at_once(1000)
    assert seconds < 1
    print(f"1,000 files arrived within {seconds:.2f} s")
    run_number(airflow, 3)
    time.sleep(4 * SETTLE_S)

    runs = airflow.runs()
    assert [(run["run_type"], run["state"]) for run in runs] == [("asset_triggered", "success")] * 3
    # Of the landing zone; each run that registers a model has an event of its own.
    assert len([event for event in airflow.events() if event["name"] == f"landing_{NAME}"]) == 3
    assert [run["note"].split(", the oldest")[0] for run in runs] == [f"Started by: arrival of {n} images" for n in ("40", "10", "1,000")]
    # Each file was read once, by one run, and none of them half-written.
    assert ingested(lake, runs) == [("done", 40, 0), ("done", 10, 0), ("done", 1000, 0)]
    on_disk = sorted(str(path.relative_to(landing)) for path in landing.rglob("*.jpg"))
    assert list(snapshots.latest(lake).present["path"]) == on_disk
    assert len(on_disk) == senders.sent == 1050
    assert Counter(contents(lake)).most_common(1)[0][1] == 1
    assert len(contents(lake)) == 1050
    told = tags(landing, runs)
    assert [tag["pomona.started_by"] for tag in told] == ["arrival"] * 3
    assert [f"Started by: {tag['pomona.cause']}" for tag in told] == [run["note"] for run in runs]
    summary = lake.document(f"runs/{told[2]['pomona.run']}/summary.json")
    assert summary is not None
    assert summary["started_by"] == told[2]["pomona.cause"]


def contents(lake: Lake) -> list[str]:
    """The content of every row of every images part."""
    import pyarrow.parquet as pq

    files = Path(lake.location("parts/images")).glob("*.parquet")
    return [content for file in files for content in pq.read_table(file, columns=["content"])["content"].to_pylist()]


def test_schedule_person_and_arrival_are_told_apart_and_a_person_may_be_faster_than_the_watcher(landing):
    senders, lake = Senders(landing), Lake(str(landing.parent / "lake"), NAME)
    tick = datetime.now(UTC) + timedelta(minutes=3)
    with standing(landing, POMONA_SCHEDULE=f"{tick.minute} {tick.hour} * * *") as airflow:

        def of(run_type: str) -> list[dict[str, Any]]:
            return [run for run in airflow.runs() if run["run_type"] == run_type]

        airflow.pause(False)
        senders.send(40)
        airflow.trigger(note="the new ones from the market")
        wait_until(lambda: is_over(of("manual")[0]), RUN_S, "end of the person's run")
        wait_until(lambda: [run for run in of("scheduled") if is_over(run)], RUN_S, "end of the scheduled run")
        assert of("asset_triggered") == [], "a run was started for what the person's had taken in"

        senders.send(6)
        wait_until(lambda: [run for run in of("asset_triggered") if run["note"]], 300, "run for what arrived")
        (by_schedule,), (by_person,), (by_arrival,) = of("scheduled"), of("manual"), of("asset_triggered")
        assert (by_schedule["state"], by_schedule["note"]) == ("success", "Started by: schedule")
        assert by_person["state"] == "success"
        assert by_person["note"].splitlines()[0] == "the new ones from the market"
        assert by_person["note"].splitlines()[1].startswith("Started by: person")
        assert ingested(lake, [by_person, by_schedule]) == [("done", 40, 0), ("nothing_new", 0, 0)]
        (tag,) = tags(landing, [by_person])
        assert (tag["pomona.started_by"], f"Started by: {tag['pomona.cause']}") == ("person", by_person["note"].splitlines()[1])
        assert by_arrival["note"].startswith("Started by: arrival of 6 images, the oldest waited ")
