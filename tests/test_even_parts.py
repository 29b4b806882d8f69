"""Parts are near their size and none is a small rest; what reads them has tasks for every core."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pomona.jobs import describe, ingest
from pomona.lake import Lake
from pomona.storage import at_once
from pomona.work import n_shares

MB = 1 << 20


@pytest.mark.parametrize(
    ("n_bytes", "cores", "expected"),
    [
        (36 * MB, 2, 8),
        (4300 * MB, 4, 92),  # of 48 MB, in whole rounds
        (300_000, 64, 2),  # no crumbs
        (0, 4, 1),
    ],
)
def test_tasks_are_four_a_core_unless_they_were_too_small_or_too_large(n_bytes, cores, expected):
    assert n_shares(n_bytes, cores) == expected


def row(number: int, n_bytes: int) -> tuple[dict, dict]:
    """A listed file and the image in it."""
    image = {"content": f"{number:064x}", "image": number.to_bytes(n_bytes, "little"), "format": "PNG", "width": 9, "height": 9}
    return {"path": f"Training/a/{number}.png", "size": n_bytes, "version": "1"}, image


def test_a_packer_keeps_what_does_not_fit_with_its_files(tmp_path):
    lake = Lake(str(tmp_path), "n")
    packer = ingest._Packer(lake)
    for number in range(3):
        packer.add(*row(number, 1000), "", True)
    packer.add({"path": "broken", "size": 1, "version": "1"}, None, "cut off", True)
    again, image = row(0, 1000)
    packer.add({**again, "path": "Training/a/again.png"}, image, "", True)
    first, rest = packer.flush(1500).to_pylist(), packer.flush().to_pylist()
    assert [each["path"] for each in first] == ["Training/a/0.png", "Training/a/1.png", "broken", "Training/a/again.png"]
    assert [each["path"] for each in rest] == ["Training/a/2.png"]
    parts = {each["part"] for each in first if each["content"]}
    assert len(parts) == 1
    assert parts != {rest[0]["part"]}
    (part,) = parts
    assert pq.read_table(lake.location(f"parts/images/{part}"))["content"].to_pylist() == [f"{number:064x}" for number in (0, 1)]
    assert packer.bytes == 0


@pytest.mark.parametrize("n_images", [30, 31, 44, 45, 46, 75])
def test_no_part_of_a_task_is_a_small_rest(n_images, tmp_path, monkeypatch):
    lake = Lake(str(tmp_path), "n")
    monkeypatch.setattr(ingest, "PART_BYTES", 30_000)
    monkeypatch.setattr(ingest, "_opened", lambda reading, *_: (row(int(reading), 1000)[1], "", True))

    class Landing:
        def read(self, path, size, version):
            return path

    listed = pa.RecordBatch.from_pylist([{"path": str(number), "size": 1000, "version": "1"} for number in range(n_images)])
    taken = pa.Table.from_batches(ingest.take(Landing(), lake, max_megapixels=1)([listed]))
    sizes = sorted(taken["part"].value_counts().field("counts").to_pylist())
    assert sum(sizes) == n_images
    assert all(15 <= size <= 45 for size in sizes)


def test_rows_fill_a_part_by_their_descriptors(monkeypatch):
    monkeypatch.setattr(describe, "PART_BYTES", 100)
    assert describe._fill([{"descriptors": bytes(40)} for _ in range(9)]) == 3


@pytest.mark.parametrize(("n_bytes", "groups"), [(12_000, 1), (400_000, 4), (4 << 20, 8), (16 << 20, 16)])
def test_a_part_has_row_groups_small_enough_to_be_shared(n_bytes, groups, tmp_path):
    lake = Lake(str(tmp_path), "n")
    each = n_bytes // 512
    table = pa.Table.from_pylist([row(number, each)[1] for number in range(512)])
    file = lake.write_rows("parts/images", "images", table.select(["content", "image", "format", "width", "height"]))
    assert pq.ParquetFile(lake.location(file.path)).num_row_groups == pytest.approx(groups, abs=1)


def test_answers_come_in_the_order_of_the_questions():
    assert at_once(lambda number: number * number, range(100)) == [number * number for number in range(100)]
