"""The strange pictures are what they claim to be, by the word of another library than ours."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import strange_pictures
from tests.strange_pictures import LABELS, Expectation


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Expectation]]:
    folder = tmp_path_factory.mktemp("strange") / "landing"
    return folder, strange_pictures.write(folder)


@pytest.mark.parametrize(
    ("name", "format", "mode"),
    [
        ("png_named.jpg", "PNG", "RGB"),
        ("cmyk.jpg", "JPEG", "CMYK"),
        ("sixteen_bits_grey.png", "PNG", "I;16"),
        ("alpha.png", "PNG", "RGBA"),
        ("grey.jpg", "JPEG", "L"),
        ("palette.png", "PNG", "P"),
        ("one_bit.png", "PNG", "1"),
        ("animated.gif", "GIF", "P"),
        ("picture.webp", "WEBP", "RGB"),
        ("picture.tif", "TIFF", "RGB"),
    ],
)
def test_a_format_is_what_its_name_says(landing: tuple[Path, dict[str, Expectation]], name: str, format: str, mode: str) -> None:
    with Image.open(landing[0] / "Training/Plain" / name) as image:
        assert (image.format, image.mode) == (format, mode)


def test_special_properties_are_there(landing: tuple[Path, dict[str, Expectation]]) -> None:
    plain = landing[0] / "Training/Plain"
    # Byte 24 of a PNG is the bit depth: Pillow opens 16-bit colour as 8-bit.
    assert (plain / "sixteen_bits.png").read_bytes()[24:26] == b"\x10\x02"
    with Image.open(plain / "exif_rotated.jpg") as image:
        assert (image.size, image.getexif()[0x0112]) == ((96, 48), 6)
    with Image.open(plain / "animated.gif") as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
    with Image.open(plain / "alpha.png") as image:
        assert image.getchannel("A").getextrema() == (0, 255)
    with Image.open(plain / "progressive.jpg") as image:
        assert image.info["progressive"] == 1
    with Image.open(plain / "pixel.png") as image:
        assert image.size == (1, 1)
    with Image.open(plain / "truncated.jpg") as image, pytest.raises(OSError, match="truncated"):
        image.load()


@pytest.mark.parametrize("name", ["huge.png", "huge.jpg"])
def test_the_huge_ones_are_small_files_that_say_so_in_their_header(landing: tuple[Path, dict[str, Expectation]], name: str) -> None:
    path = landing[0] / "Training/Plain" / name
    assert path.stat().st_size < 10_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(Image.DecompressionBombError, match="400000000 pixels"):
            Image.open(path)


def test_every_listed_file_has_an_expectation_and_every_expectation_a_file(landing: tuple[Path, dict[str, Expectation]]) -> None:
    folder, expected = landing
    found = set()
    for base, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        found |= {str((Path(base) / name).relative_to(folder)) for name in [*files, *links]}
    shown = {os.fsencode(path).decode("utf-8", "backslashreplace") for path in found}
    assert shown == set(expected)


def test_only_the_copies_share_their_bytes(landing: tuple[Path, dict[str, Expectation]]) -> None:
    """So that the counts of a run are those written down by hand."""
    folder, expected = landing
    fates: dict[str, list[str]] = {}
    for path, expectation in expected.items():
        if expectation.fate in ("kept", "duplicate", "conflict") and os.access(folder / path, os.R_OK):
            fates.setdefault(hashlib.sha256((folder / path).read_bytes()).hexdigest(), []).append(expectation.fate)
    copies = sorted(sorted(group) for group in fates.values() if len(group) > 1)
    assert copies == [["conflict"] * 2, ["conflict"] * 5, ["duplicate"] * 4 + ["kept"], ["duplicate", "kept"], ["duplicate", "kept"]]
    assert all(group in copies or group == ["kept"] for group in map(sorted, fates.values()))


def test_every_label_can_be_trained_and_tested(landing: tuple[Path, dict[str, Expectation]]) -> None:
    folder, expected = landing
    assert {path.name for path in (folder / "Training").iterdir() if path.is_dir()} == set(LABELS)
    for label in LABELS:
        for side in ("Training", "Test"):
            assert sum(path.startswith(f"{side}/{label}/r") and fate.fate == "kept" for path, fate in expected.items()) == 4


def test_the_links_lead_out(landing: tuple[Path, dict[str, Expectation]]) -> None:
    folder, expected = landing
    out = [path for path, expectation in expected.items() if "out of the landing" in expectation.reason]
    assert len(out) == 3
    for path in out:
        target = (folder / path).resolve(strict=True)
        # The neighbour's name begins like the folder's.
        assert str(target).startswith(str(folder)) and not target.is_relative_to(folder)


def test_pictures_differ_by_their_number() -> None:
    assert not np.array_equal(strange_pictures.picture(1), strange_pictures.picture(2))
    assert strange_pictures.jpeg(1) == strange_pictures.jpeg(1)
