"""A lake that an earlier release wrote opens: nothing is taken in again, and its run goes on from what it has.

`tests/old_lake/lake.tar.xz` was written by `tests/old_lake/write.py` on commit 741d579: 16 drawn pictures, one run.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pomona import snapshots
from pomona.lake import Lake
from pomona.monitoring.timeline import gathered
from pomona.report import health
from tests import old_lake
from tests.conftest import SMALL, Runs
from tests.old_lake.write import KNOBS, RUN

N_IMAGES = 16
ITS_KEY = "sift-1f0efc777a2b"


@pytest.fixture(scope="module")
def older(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The lake of the earlier release beside its landing zone; this release's stages run on it."""
    folder = tmp_path_factory.mktemp("older")
    old_lake.unpack(folder)
    return Runs(folder, Path(folder / "landing"), knobs={**SMALL, **KNOBS})


def test_the_monitoring_page_shows_what_it_tells_and_watches_for_drift_from_now_on(tmp_path: Path) -> None:
    old_lake.unpack(tmp_path)
    lake = Lake(str(tmp_path / "lake"), "tests").open()
    told = gathered(lake, now=datetime.now(UTC))
    assert (told.champion, told.hold, told.windows, told.asked) == (1, None, [], None)
    assert [(run.run, run.version, run.accuracy, run.n_images, run.n_groups) for run in told.judged] == [(RUN, 1, 0.875, 8, 2)]
    assert [(taken.run, taken.n_images, taken.n_labels) for taken in told.taken] == [(RUN, N_IMAGES, 2)]
    page = health.written(lake)
    assert page.location.endswith(health.PATH)
    assert "87.5 %" in lake.get(health.PATH).decode()


def test_a_run_of_the_earlier_release_goes_on_with_the_descriptors_that_it_has(older: Runs) -> None:
    before = older.lake.files(RUN, "descriptors")
    assert {file.path.split("/")[2] for file in before} == {ITS_KEY}
    for stage in ("learn_vocabulary", "encode", "train", "evaluate"):
        assert older.stage(RUN, stage).status == "done"
    assert older.lake.files(RUN, "descriptors") == before
    assert older.lake.folders("parts/descriptors") == [ITS_KEY]
    assert older.work(RUN, "evaluate").table("predictions").num_rows == N_IMAGES // 2


def test_a_new_run_takes_in_no_picture_again_and_describes_anew_because_the_describing_code_is_another(older: Runs) -> None:
    images, snapshot = older.lake.names("parts/images"), snapshots.latest(older.lake).number
    results = older.through("today")
    assert (results["ingest"].counts["new"], results["ingest"].counts["kept"]) == (0, N_IMAGES)
    assert older.lake.names("parts/images") == images
    assert snapshots.latest(older.lake).number == snapshot == 1
    key = str(results["describe"].notes["extractor"])
    assert (results["describe"].counts["described"], key != ITS_KEY) == (N_IMAGES, True)
    assert results["register"].counts["version"] == 1
    again = older.stage("today", "describe")
    assert again.counts["described"] == 0
