"""Which images are kept, and how they lie there."""

import asyncio
import hashlib
from datetime import UTC, datetime

import pytest

from serving.app import Sample, _keep
from serving.asked import keep
from tests.drawn_model import pictures

DAY = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)


def test_a_kept_image_lies_below_its_day_under_its_hash(tmp_path):
    file = keep(b"\xff\xd8\xffrest", folder=tmp_path, share=1.0, now=DAY)
    digest = hashlib.sha256(b"\xff\xd8\xffrest").hexdigest()
    assert file == tmp_path / "served" / "2026-11-21" / f"{digest}.jpg" and file.read_bytes() == b"\xff\xd8\xffrest"


@pytest.mark.parametrize(
    ("begins", "ending"),
    [
        (b"\xff\xd8\xff", ".jpg"),
        (b"\x89PNG\r\n\x1a\n", ".png"),
        (b"GIF89a", ".gif"),
        (b"RIFF\0\0\0\0WEBP", ".webp"),
        (b"BM", ".bmp"),
        (b"II*\0", ".tif"),
        (b"MM\0*", ".tif"),
    ],
)
def test_the_ending_comes_from_the_first_bytes(tmp_path, begins, ending):
    file = keep(begins + b"rest", folder=tmp_path, share=1.0, now=DAY)
    assert file is not None and file.suffix == ending


def test_what_is_no_picture_is_not_kept(tmp_path):
    assert keep(b"a letter", folder=tmp_path, share=1.0) is None
    assert keep(b"RIFF\0\0\0\0WAVE", folder=tmp_path, share=1.0) is None
    assert not list(tmp_path.iterdir())


def test_the_same_image_is_one_file_and_nothing_half_written_is_left(tmp_path):
    assert keep(b"BM1", folder=tmp_path, share=1.0, now=DAY) == keep(b"BM1", folder=tmp_path, share=1.0, now=DAY)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_share_of_images_is_kept_and_always_the_same_ones(tmp_path):
    drawn = [b"BM" + number.to_bytes(2, "big") for number in range(1000)]
    first, second = ([keep(data, folder=tmp_path / name, share=0.2, now=DAY) is not None for data in drawn] for name in ("a", "b"))
    # 200 of 1000 are expected; five standard deviations are 63.
    assert first == second and 137 < sum(first) < 263


def test_a_folder_that_cannot_be_written_is_told_in_the_log_and_not_to_who_asks(tmp_path, caplog):
    (tmp_path / "file").touch()
    asyncio.run(_keep(b"BM1", Sample(tmp_path / "file", 1.0)))
    assert "an image was not kept: " in caplog.text


def test_a_share_of_nothing_keeps_nothing(tmp_path):
    assert all(keep(data, folder=tmp_path, share=0.0) is None for _, data in pictures(3))
