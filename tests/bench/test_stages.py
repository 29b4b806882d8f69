"""What the bench makes of runs: spans, CPU between moments, drivers, more photographs than there are; and its words for sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench import __main__ as table
from bench import growth
from bench.altered import changed, multiplied, photographs, renamed
from bench.measure import MB, Row, Usage, stage_of, used
from bench.runs import Ran, span
from pomona.lake import Lake


def _outcome(lake: Lake, stage: str, seconds: float, ended: float, **effort: float) -> None:
    lake.put_outcome("r", stage, {"seconds": seconds, "effort": effort or None, "counts": {}})
    os.utime(lake.location(f"runs/r/outcomes/{stage}.json"), (ended, ended))


def test_a_stages_work_begins_with_its_first_task_or_without_spark_with_its_first_line(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path), "spans")
    _outcome(lake, "describe", 12.0, 1000.0, first_task=993.0, last_task=998.5)
    _outcome(lake, "evaluate", 4.0, 1010.0)
    describe, evaluate = span(lake, "r", "describe"), span(lake, "r", "evaluate")
    assert describe is not None and evaluate is not None
    assert (describe.seconds, evaluate.seconds) == (7.0, 4.0)
    assert describe.said == "5.0 s from its first line to the first task, 5.5 s to the last task, 1.5 s behind it"
    assert span(lake, "r", "encode") is None


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_what_train_and_evaluate_do_before_their_first_task_is_work(tmp_path: Path, stage: str) -> None:
    lake = Lake(str(tmp_path), "spans")
    _outcome(lake, stage, 12.0, 1000.0, first_task=998.0, last_task=999.0)
    found = span(lake, "r", stage)
    assert found is not None and found.seconds == 12.0


def test_cpu_of_a_stage_is_what_was_used_between_its_first_task_and_its_end(tmp_path: Path) -> None:
    lake, usage = Lake(str(tmp_path), "spans"), Usage(began=980.0)
    usage._timeline += [(990.0, 5.0), (1000.0, 25.0), (1010.0, 27.0)]
    _outcome(lake, "describe", 12.0, 1000.0, first_task=995.0, last_task=998.5)
    assert usage.cpu_until(985.0) == 2.5
    assert usage.cpu_until(2000.0) == 27.0
    assert Ran("r", usage, lake).cpu_s("describe") == 10.0


def test_a_driver_is_known_by_its_stage_and_neither_its_jvm_nor_its_leash_is_one() -> None:
    assert stage_of(["/env/bin/python3", "/job/run_stage.py", "encode", "--run", "r"]) == "encode"
    assert stage_of(["python3", "leash.py", "7", "spark-submit", "/job/run_stage.py", "encode"]) == ""
    assert stage_of(["/usr/bin/java", "/job/run_stage.py", "encode"]) == ""
    assert stage_of([]) == stage_of(["python3", "run_stage.py"]) == ""


def test_the_memory_of_each_stages_driver_is_kept(tmp_path: Path) -> None:
    job = tmp_path / "run_stage.py"
    job.write_text("import sys, time\nheld = bytearray(int(sys.argv[2]) << 20)\nheld[::4096] = b'1' * len(held[::4096])\ntime.sleep(.5)")
    with used(0.05) as usage:
        for stage, size in (("ingest", "60"), ("encode", "120"), ("ingest", "20")):
            subprocess.run([sys.executable, str(job), stage, size], check=True)
    assert set(usage.driver_bytes) == {"ingest", "encode"}
    assert 60 * MB < usage.driver_bytes["ingest"] < 120 * MB < usage.driver_bytes["encode"]


def test_more_photographs_are_other_contents_in_the_same_groups(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("Training/Kiwi/r_12_100.jpg", "Test/Kiwi/3_100.jpg"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(source / name), np.full((32, 32, 3), 150, np.uint8))
    assert multiplied(source, tmp_path / "target", 5) == 5
    names = [str(path.relative_to(tmp_path / "target")) for path in photographs(tmp_path / "target")]
    assert names == [
        "Test/Kiwi/100003_100.jpg",
        "Test/Kiwi/200003_100.jpg",
        "Test/Kiwi/3_100.jpg",
        "Training/Kiwi/r_100012_100.jpg",
        "Training/Kiwi/r_12_100.jpg",
    ]
    # Both sources have the same pixels, so the same change of light gives the same bytes.
    assert len({path.read_bytes() for path in photographs(tmp_path / "target")}) == 3


def test_fewer_photographs_are_the_first_of_them(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg", "c.txt"):
        (tmp_path / "source").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "source" / name), np.zeros((8, 8, 3), np.uint8)) if name.endswith("jpg") else None
    assert multiplied(tmp_path / "source", tmp_path / "target", 1) == 1
    assert [path.name for path in photographs(tmp_path / "target")] == ["a.jpg"]


def test_an_altered_photograph_is_a_little_lighter_or_darker() -> None:
    image = np.random.default_rng(0).integers(30, 220, (40, 40, 3), np.uint8)
    means = {number: float(changed(image, number).mean() - image.mean()) for number in range(1, 16)}
    assert all(0.1 < abs(difference) < 15 for difference in means.values())
    assert len(set(means.values())) == 15


def test_a_name_that_is_no_number_gets_one() -> None:
    assert renamed("r2_7_100.jpg", 3) == "r2_300007_100.jpg"
    assert renamed("my apple.v2.jpeg", 3) == "my apple.v2-3.jpeg"


def test_time_for_each_image_is_judged_against_the_smallest_multiple_and_the_stage_that_grew_is_named() -> None:
    first = {"ingest": 1.0, "describe": 4.0}
    assert growth._row("× 1", first, {}, 1, judged=True).met is None
    steady = growth._row("× 2", {"ingest": 1.2, "describe": 4.1}, first, 1, judged=True)
    assert (steady.met, steady.figure) == (True, "5.30 ms an image")
    assert "more for each image: ingest 1.20 ×" in steady.note
    assert growth._row("× 8", {"ingest": 1.0, "describe": 4.6}, first, 1, judged=True).met is False


def test_sizes_stand_behind_their_group() -> None:
    assert table.asked("stages") == ("stages", ())
    assert table.asked("growth=1,2") == ("growth", (1, 2))
    for word, trouble in (("stages=2", "stages has no sizes"), ("growth=", "positive numbers"), ("memory=1,-2", "positive numbers")):
        with pytest.raises(ValueError, match=trouble):
            table.asked(word)


def test_a_row_that_cannot_be_measured_says_why_and_keeps_those_before_it() -> None:
    def group() -> object:
        yield Row("first", "1 s", "≤ 2 s", True)
        raise RuntimeError("describe ended with 1: no space left")

    rows = table.measured("stages", group())  # type: ignore[arg-type]
    assert [row.what for row in rows] == ["first", "the rest of stages"]
    assert rows[1].met is False and rows[1].note == "describe ended with 1: no space left"
