"""The bench's own parts: what it says a process used, where it puts the images, and the table that it keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench import __main__ as table
from bench.chains import across_rotations
from bench.measure import MB, Row, done, used
from bench.plain import describe
from bench.stand import VARIABLE, real, stand
from demo import orchard
from pomona.knobs import resolve
from pomona.vision.describe import HISTOGRAM_BINS, Describer, Extractor
from tests.waiting import wait_until

# A process that starts another; the other holds 120 MB and works for at least half a second of CPU.
_BUSY = """
import time
held = bytearray(120 << 20)
held[::4096] = b"1" * len(held[::4096])
while time.process_time() < 0.6: pass
time.sleep(0.4)
"""
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_BUSY!r}])"


def test_a_grandchilds_cpu_and_memory_are_seen_and_those_of_nobody_else() -> None:
    with subprocess.Popen([sys.executable, "-c", "held = b'1' * (400 << 20); input()"], stdin=subprocess.PIPE) as other:
        wait_until(lambda: psutil.Process(other.pid).memory_info().rss > 400 * MB, 20, "memory of the other")
        with used(0.05) as usage:
            subprocess.run([sys.executable, "-c", _PARENT], check=True)
        other.communicate(b"\n")
    assert 0.6 <= usage.cpu_s < 3
    assert 120 * MB < usage.peak_bytes < 300 * MB
    assert usage.seconds > 0.9


def test_memory_that_forked_processes_share_counts_once() -> None:
    hold = "import os, time\nheld = bytearray(100 << 20)\nheld[::4096] = b'1' * len(held[::4096])\n"
    forks = hold + "for _ in range(3):\n    if not os.fork(): break\ntime.sleep(1)"
    with used(0.05) as usage:
        subprocess.run([sys.executable, "-c", forks], check=True)
    assert 100 * MB < usage.peak_bytes < 200 * MB


def test_only_sparks_python_workers_count_as_workers() -> None:
    worker = "import time\nheld = bytearray(80 << 20)\nheld[::4096] = b'1' * len(held[::4096])\ntime.sleep(0.6)"
    with used(0.05) as usage:
        subprocess.run([sys.executable, "-c", worker], check=True)
    assert usage.worker_bytes == usage.jvm_bytes == 0
    with used(0.05) as usage:
        subprocess.run([sys.executable, "-c", worker, "pyspark.daemon"], check=True)
    assert usage.worker_bytes > 80 * MB


def test_a_command_that_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 3: no such thing"):
        done([sys.executable, "-c", "print('first'); print('no such thing'); raise SystemExit(3)"], tmp_path / "log")


def test_a_stand_is_gone_even_when_its_measurement_fails() -> None:
    places = []
    with pytest.raises(ZeroDivisionError), stand() as at:
        places.append(at.folder)
        (at.folder / "lake").mkdir()
        raise ZeroDivisionError
    assert not places[0].exists()


def test_real_images_are_those_that_the_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fruits10").mkdir()
    monkeypatch.delenv(VARIABLE, raising=False)
    assert real("fruits10") is None
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert real("fruits10") == tmp_path / "fruits10"
    assert real("threebody") is None


def test_across_rotations_the_prefix_decides_the_side(tmp_path: Path) -> None:
    for path in ("Training/Kiwi/1_100.jpg", "Training/Kiwi/r_2_100.jpg", "Test/Kiwi/3_100.jpg", "Test/Kiwi/r2_3_100.jpg"):
        (tmp_path / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / path).write_text(path)
    target = across_rotations(tmp_path / "source", tmp_path / "target")
    found = {str(path.relative_to(target)): path.read_text() for path in target.rglob("*.jpg")}
    assert found == {
        "Training/Kiwi/1_100.jpg": "Training/Kiwi/1_100.jpg",
        "Training/Kiwi/3_100.jpg": "Test/Kiwi/3_100.jpg",
        "Test/Kiwi/r_2_100.jpg": "Training/Kiwi/r_2_100.jpg",
        "Test/Kiwi/r2_3_100.jpg": "Test/Kiwi/r2_3_100.jpg",
    }


def test_two_images_of_one_name_are_not_silently_one(tmp_path: Path) -> None:
    for side in ("Training", "Test"):
        (tmp_path / "source" / side / "Kiwi").mkdir(parents=True)
        (tmp_path / "source" / side / "Kiwi" / "1_100.jpg").write_text(side)
    with pytest.raises(FileExistsError):
        across_rotations(tmp_path / "source", tmp_path / "target")


def test_the_plain_loop_does_the_same_work_as_the_stage(tmp_path: Path) -> None:
    orchard.draw(tmp_path / "pictures", frames=2, kinds=("Tomato", "Pear"), bad=False)
    paths = sorted((tmp_path / "pictures").rglob("*.jpg"))
    knobs = resolve({"preset": "fast"})
    describer = Describer(Extractor.of(knobs))
    stage = sum(len(describer.describe(path.read_bytes()).descriptors) for path in paths)
    assert len(paths) == 8 and stage > 80
    listing = tmp_path / "listing"
    listing.write_text("\n".join(map(str, paths)))
    order = {"listing": str(listing), "target": str(tmp_path / "out"), "bins": list(HISTOGRAM_BINS), **knobs}
    assert describe.describe(order) == {"images": 8, "keypoints": stage}


def test_a_section_measured_anew_replaces_its_old_self_and_leaves_the_others() -> None:
    rows = [Row("time", "9 s", "≤ 10 s", True, "a|b"), Row("score", ".5", "≥ .9", False), Row("other", "1", "≤ 2"), Row("free", "7")]
    text = table.written({"threebody": "old words", "stages": table.markdown(rows)})
    sections = table.known(text)
    assert list(sections) == ["stages", "threebody"]
    again = table.written(sections | {"threebody": "new words"})
    assert again == text.replace("old words", "new words")
    assert "| time | 9 s | ≤ 10 s | yes | a\\|b |" in text
    assert "| score | .5 | ≥ .9 | NO |  |" in text
    assert "| other | 1 | ≤ 2 | – |  |" in text
    assert "| free | 7 |  |  |  |" in text


def test_an_unknown_group_is_told_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        table.main(["tempo"])
    assert ended.value.code == 2
    assert "no group 'tempo': stages, fruits10" in capsys.readouterr().err


def test_a_missed_goal_is_an_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(table, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(table, "GROUPS", {"good": lambda at: [Row("a", "1", "1", True)], "bad": lambda at: [Row("b", "2", "1", False)]})
    assert table.main(["good"]) == 0
    assert table.main(["bad"]) == 1
    written = (tmp_path / "RESULTS.md").read_text()
    assert written.index("## good") < written.index("## bad")
    assert os.uname().machine and "cores" in written
