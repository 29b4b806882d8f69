"""Descriptors and histograms of drawn pictures, whose answers are known by hand."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pomona.knobs import resolve
from pomona.vision.augment import altered
from pomona.vision.decode import BadImage
from pomona.vision.describe import HISTOGRAM_BINS, N_BINS, Describer, Extractor, n_dims
from pomona.vision.fingerprint import fingerprint

SIFT = Extractor.of(resolve({"preset": "fast"}))
ORB = Extractor.of(resolve({"preset": "fast", "extractor": "orb"}))
DENSE = Extractor.of(resolve({}))
BOTH = pytest.mark.parametrize("extractor", [SIFT, ORB], ids=["sift", "orb"])


def flat(colour: str, saved: Any) -> bytes:
    return saved(Image.new("RGB", (64, 48), colour), "PNG")


@BOTH
def test_a_blank_image_has_no_descriptors(extractor: Extractor, saved: Any) -> None:
    description = Describer(extractor).describe(flat("white", saved))
    assert description.descriptors.shape == (0, n_dims(extractor.extractor))
    assert description.descriptors.dtype == np.uint8


def test_a_flat_colour_fills_one_bin_of_the_histogram(saved: Any) -> None:
    # OpenCV's hue of pure blue is 120 of 180, its saturation and value are full.
    histogram = Describer(SIFT).describe(flat("blue", saved)).histogram.reshape(HISTOGRAM_BINS)
    hue, saturation, value = HISTOGRAM_BINS
    assert histogram[120 * hue // 180, saturation - 1, value - 1] == 1
    assert histogram.sum() == 1
    # Saturation two thirds, 170 of 256, and value 90.
    histogram = Describer(SIFT).describe(flat("#1e1e5a", saved)).histogram.reshape(HISTOGRAM_BINS)
    assert histogram[120 * hue // 180, 170 * saturation // 256, 90 * value // 256] == 1


def test_dense_descriptors_obey_their_knobs(saved: Any) -> None:
    picture = np.full((700, 1000, 3), 255, np.uint8)
    picture[200:500, 300:700] = 60
    data = saved(picture, "PNG")
    image, points = Describer(Extractor.of(resolve({"side_px": 100, "grid_px": 7, "object_only": False}))).keypoints(data)
    assert image.shape == (70, 100, 3)
    assert points[:, :2].tolist() == [[x, y] for y in range(4, 70, 7) for x in range(4, 100, 7)]
    assert len(Describer(Extractor.of(resolve({"max_keypoints": 30}))).describe(data).descriptors) <= 30


def test_the_histogram_holds_shares_of_the_pixels(saved: Any, blobs: Any) -> None:
    histogram = Describer(SIFT).describe(saved(blobs(1))).histogram
    assert (histogram.shape, histogram.dtype) == ((N_BINS,), np.float32)
    assert histogram.sum() == pytest.approx(1, abs=1e-6)


@BOTH
def test_the_colour_beside_a_descriptor_is_lab_of_the_picture(extractor: Extractor, saved: Any) -> None:
    # A chessboard in sRGB (180, 60, 60) and (140, 45, 45). By the definition of CIE Lab these are (43.2, 48.4, 28.1) and
    # (33.6, 40.8, 23.6); as 8 bits: 2.55 L, a + 128, b + 128.
    image = np.full((96, 96, 3), (180, 60, 60), np.uint8)
    image[(np.add.outer(np.arange(96) // 12, np.arange(96) // 12) % 2) == 1] = (140, 45, 45)
    colour = Describer(extractor).describe(saved(image, "PNG")).descriptors[:, -3:].astype(int)
    assert len(colour) > 10
    assert (colour.min(axis=0) >= np.array([86, 169, 152]) - 2).all()
    assert (colour.max(axis=0) <= np.array([110, 176, 156]) + 2).all()


@BOTH
def test_rows_have_the_declared_columns_and_type(extractor: Extractor, saved: Any, blobs: Any) -> None:
    descriptors = Describer(extractor).describe(saved(blobs(1))).descriptors
    assert descriptors.shape[0] > 10
    assert descriptors.shape[1] == {"sift": 131, "orb": 35}[extractor.extractor]
    assert (descriptors.dtype, descriptors.flags.c_contiguous) == (np.uint8, True)


@BOTH
def test_keypoints_stand_in_the_order_of_the_descriptors(extractor: Extractor, saved: Any, blobs: Any) -> None:
    image = blobs(1)
    describer = Describer(extractor)
    shown, keypoints = describer.keypoints(saved(image, "PNG"))
    assert np.array_equal(shown, image[:, :, ::-1])
    assert keypoints.shape == (len(describer.describe(saved(image, "PNG")).descriptors), 4)
    assert keypoints[:, 0].max() <= 96
    assert keypoints[:, 1].max() <= 80


def test_a_bright_disc_has_a_keypoint_at_its_middle(saved: Any) -> None:
    rows, columns = np.mgrid[:64, :64]
    disc = (255 * np.exp(-((rows - 30) ** 2 + (columns - 25) ** 2) / (2 * 6.0**2))).astype(np.uint8)
    _, keypoints = Describer(SIFT).keypoints(saved(disc, "PNG"))
    assert np.hypot(keypoints[:, 0] - 25, keypoints[:, 1] - 30).min() < 1


def test_the_strongest_keypoints_are_kept_with_their_descriptors(saved: Any, blobs: Any) -> None:
    data = saved(blobs(1))
    every, few = Describer(SIFT), Describer(replace(SIFT, max_keypoints=20))
    rows = {tuple(key): row.tobytes() for key, row in zip(every.keypoints(data)[1], every.describe(data).descriptors, strict=True)}
    image = every.keypoints(data)[0]
    (found, _), (kept, _) = (describer._local._detected(image) for describer in (every, few))  # type: ignore[attr-defined]
    strengths = sorted((keypoint.response for keypoint in found), reverse=True)
    assert len(rows) > 20
    assert [keypoint.response for keypoint in kept] == strengths[:20]
    for key, row in zip(few.keypoints(data)[1], few.describe(data).descriptors, strict=True):
        assert rows[tuple(key)] == row.tobytes()


def test_of_equally_strong_keypoints_the_first_by_position_stay(saved: Any) -> None:
    # Four equal discs: whatever number is kept, their responses tie, and the ties fall to the smaller x, then y.
    tile = np.full((40, 40, 3), 255, np.uint8)
    tile[15:25, 15:25] = 0
    data = saved(np.tile(tile, (2, 2, 1)), "PNG")
    _, every = Describer(SIFT).keypoints(data)
    kept = [Describer(replace(SIFT, max_keypoints=n)).keypoints(data)[1] for n in (1, 2, 3, 2)]
    assert len(every) > 3
    assert [len(rows) for rows in kept] == [1, 2, 3, 2]
    assert np.array_equal(kept[1], kept[3])
    assert np.array_equal(kept[2][:2], kept[1])


@BOTH
def test_a_picture_has_the_same_bits_alone_and_among_others(extractor: Extractor, saved: Any, blobs: Any) -> None:
    describer = Describer(extractor)
    pictures = [saved(blobs(seed)) for seed in range(4)]
    among = [describer.describe(data) for data in pictures]
    for data, description in zip(reversed(pictures), reversed(among), strict=True):
        alone = Describer(extractor).describe(data)
        assert alone.descriptors.tobytes() == description.descriptors.tobytes()
        assert alone.histogram.tobytes() == description.histogram.tobytes()


@BOTH
@pytest.mark.parametrize("size", [(8, 8), (9, 300), (4000, 8)])
def test_small_and_narrow_pictures_are_described_without_trouble(extractor: Extractor, size: tuple[int, int], saved: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    description = Describer(extractor).describe(saved(noise, "PNG"))
    assert description.descriptors.shape[1] == n_dims(extractor.extractor)
    assert description.histogram.sum() == pytest.approx(1, abs=1e-5)


def test_bytes_that_are_no_picture_are_a_bad_image() -> None:
    with pytest.raises(BadImage):
        Describer(SIFT).describe(b"text")


def test_the_key_names_the_extractor_and_follows_each_of_its_settings() -> None:
    others = [
        replace(SIFT, side_px=511),
        replace(SIFT, max_keypoints=999),
        replace(SIFT, contrast_threshold=0.02),
        replace(SIFT, edge_threshold=19),
        ORB,
    ]
    keys = [extractor.key for extractor in (SIFT, *others)]
    assert len(set(keys)) == 6
    assert Extractor.of(resolve({"preset": "fast", "n_words": 7})).key == SIFT.key
    assert [key[:5] for key in (SIFT.key, ORB.key)] == ["sift-", "orb-" + ORB.key[4]]
    assert len(SIFT.key) == len("sift-") + 12


@pytest.mark.parametrize(("extractor", "other"), [(SIFT, "dense"), (ORB, "dense"), (DENSE, "sparse")])
def test_the_key_follows_all_code_that_describing_imports(extractor: Extractor, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: set[str] = set()

    def getsource(module: ModuleType) -> str:
        told.add(module.__name__)
        return inspect.getsource(module)

    monkeypatch.setattr("pomona.vision.describe.inspect", SimpleNamespace(getsource=getsource, getmodule=inspect.getmodule))
    assert extractor.key
    found, left = set(), {"pomona.vision.describe"}
    while left:
        found |= left
        values = [value for name in left for value in vars(sys.modules[name]).values()]
        origins = {value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", "")) for value in values}
        left = {name for name in origins if name.startswith("pomona.vision.")} - found - {f"pomona.vision.{other}"}
    assert told == found


@pytest.mark.parametrize("extractor", [SIFT, DENSE], ids=["sift", "dense"])
def test_a_copy_is_described_as_the_altered_picture_is(extractor: Extractor, saved: Any, blobs: Any) -> None:
    describer, image = Describer(extractor), blobs(1)
    found = describer.copies(saved(image, "PNG"), "a" * 64, [0, 2, 1])
    pictures = [image, *(altered(image[:, :, ::-1], "a" * 64, copy)[:, :, ::-1] for copy in (2, 1))]
    for copy, picture in zip(found, pictures, strict=True):
        expected = describer.describe(saved(picture, "PNG"))
        assert np.array_equal(copy.descriptors, expected.descriptors)
        assert np.array_equal(copy.histogram, expected.histogram)
        assert copy.fingerprint == expected.fingerprint == fingerprint(np.ascontiguousarray(picture[:, :, ::-1])) != 0


def test_the_key_follows_the_versions_of_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SIFT.key
    monkeypatch.setattr("cv2.__version__", "9.9.9")
    assert SIFT.key != before
