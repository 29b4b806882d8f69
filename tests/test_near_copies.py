"""Near copies across the split: what Spark finds by bands is what comparing every pair finds, and what is named is the nearest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pomona import near_copies
from pomona.near_copies import MAX_DISTANCE, nearest
from pomona.tasks import Tasks
from pomona.vision.fingerprint import fingerprint

ALL_BITS = np.uint64(1) << np.arange(64, dtype=np.uint64)
Row = tuple[str, str, int]


def every_pair(rows: list[Row], max_distance: int) -> list[dict[str, Any]]:
    """What `found` shall give, by comparing each test image with each training image; Python's own whole numbers."""
    expected = []
    for content, split, ours in rows:
        if split == "test":
            candidates = [(((ours ^ theirs) & (2**64 - 1)).bit_count(), theirs, train) for train, other, theirs in rows if other == "train"]
            distance, _, train = min(candidates, default=(65, 0, ""))
            if distance <= max_distance:
                expected.append({"content": content, "train_content": train, "distance": distance})
    return sorted(expected, key=lambda row: str(row["content"]))


def found(spark: Any, rows: list[Row], max_distance: int = MAX_DISTANCE) -> pa.Table:
    schema = pa.schema([("content", pa.string()), ("split", pa.string()), ("fingerprint", pa.int64())])
    images = pa.table([list(column) for column in zip(*rows, strict=True)] or [[], [], []], schema=schema)
    return near_copies.found(Tasks.over_table(spark.sparkContext, images, 3), max_distance=max_distance)


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def flipped(value: int, *bits: int) -> int:
    for bit in bits:
        value ^= 1 << bit
    return signed(value % 2**64)


def adversarial() -> list[Row]:
    """Fingerprints that differ where bands meet, in the sign, in three bands at once, and in one bit too many."""
    base = 0x0123_4567_89AB_CDEF
    turned = [(0,), (15,), (16,), (31, 32), (47, 48), (63,), (15, 16), (0, 16, 32), (16, 32, 48), (15, 31, 47), (31, 47, 63), (61, 62, 63)]
    too_far = [(0, 16, 32, 48), (15, 31, 47, 63), (60, 61, 62, 63), (0, 1, 2, 3)]
    rows: list[Row] = [
        ("train base", "train", base),
        ("train 0", "train", 0),
        ("train ones", "train", -1),
        ("train low", "train", -(2**63)),
    ]
    rows += [(f"test {bits}", "test", flipped(base, *bits)) for bits in (*turned, *too_far)]
    rows += [(f"test 0 {bits}", "test", flipped(0, *bits)) for bits in (*turned, *too_far)]
    rows += [(f"test ones {bits}", "test", flipped(2**64 - 1, *bits)) for bits in (*turned, *too_far)]
    return rows


def test_spark_finds_at_the_borders_of_bands_what_comparing_every_pair_finds(spark: Any) -> None:
    rows = adversarial()
    expected = every_pair(rows, MAX_DISTANCE)
    # By hand: 12 near flips of each of 3 fingerprints; of 0, two of four bits with the sign among them are three from the sign alone.
    assert len(expected) == 3 * 12 + 2
    assert {"content": "test 0 (31, 47, 63)", "train_content": "train low", "distance": 2} in expected
    assert found(spark, rows).to_pylist() == expected


def test_spark_finds_among_random_fingerprints_what_comparing_every_pair_finds(spark: Any) -> None:
    random = np.random.default_rng(5)
    bases = [int(value) for value in random.integers(-(2**63), 2**63, 60)]
    rows: list[Row] = []
    for i in range(600):
        bits = random.choice(64, size=int(random.integers(0, 5)), replace=False)
        rows.append((f"{random.bytes(8).hex()}", "test" if i % 3 else "train", flipped(bases[int(random.integers(60))], *map(int, bits))))
    expected = every_pair(rows, 3)
    assert 200 < len(expected) < 400
    assert {row["distance"] for row in expected} == {0, 1, 2, 3}
    assert found(spark, rows).to_pylist() == expected
    assert found(spark, rows, 1).to_pylist() == every_pair(rows, 1)


def test_no_near_copy_gives_an_empty_table_with_the_right_columns(spark: Any) -> None:
    for rows in ([("a", "train", 0), ("b", "test", 0xFFFF)], [("a", "train", 0), ("b", "train", 0)], [("b", "test", 0)]):
        table = found(spark, rows)
        assert table.num_rows == 0
        assert table.schema == pa.schema([("content", pa.string()), ("train_content", pa.string()), ("distance", pa.int32())])


def test_more_bits_than_four_bands_can_find_are_refused(spark: Any) -> None:
    with pytest.raises(ValueError, match="max_distance=4"):
        found(spark, [("a", "train", 0)], 4)


def distances(test: NDArray[np.uint64], train: NDArray[np.uint64]) -> NDArray[np.uint8]:
    return np.bitwise_count(test[:, None] ^ train[None, :])


def test_a_value_that_many_share_is_divided_and_nothing_is_missed() -> None:
    random = np.random.default_rng(2)
    n = 6_000
    # One value in the lowest band, as a white background may give it: 36 million pairs, beyond what is compared in one go.
    train = np.unique(random.integers(0, 2**63, n, dtype=np.uint64) << np.uint64(17) >> np.uint64(1) & ~np.uint64(0xFFFF))
    test = train[random.permutation(len(train))[:n]].copy()
    for i in range(len(test)):
        for bit in random.choice(np.arange(16, 64), size=i % 6, replace=False):
            test[i] ^= ALL_BITS[bit]
    test = np.unique(test)
    assert len(test) * len(train) > near_copies._CELLS
    place, distance = nearest(test, train, max_distance=3)
    bits = np.concatenate([distances(block, train) for block in np.array_split(test, 20)])
    near = bits.min(axis=1) <= 3
    assert 0.6 < near.mean() < 0.75
    np.testing.assert_array_equal(distance, np.where(near, bits.min(axis=1), 255))
    np.testing.assert_array_equal(place[near], bits.argmin(axis=1)[near])


def test_of_equally_near_ones_the_first_is_named_whatever_part_they_agree_in() -> None:
    random = np.random.default_rng(4)
    test = np.unique(random.integers(0, 2**64, 3_000, dtype=np.uint64))
    # Three training fingerprints for each, one bit away in places of which some agree in the first part and some in others.
    train = np.unique(np.concatenate([test ^ ALL_BITS[random.integers(0, 64, len(test))] for _ in range(3)]))
    assert len(test) * len(train) > near_copies._CELLS
    place, distance = nearest(test, train, max_distance=3)
    assert set(distance) == {1}
    expected = np.concatenate([distances(block, train).argmin(axis=1) for block in np.array_split(test, 10)])
    np.testing.assert_array_equal(place, expected)


def test_fingerprints_that_are_all_near_each_other_come_to_an_end() -> None:
    # All numbers below 2¹³ and a few bits above: no part of the bits divides them for ever.
    low = np.arange(2**13, dtype=np.uint64)
    place, distance = nearest(low[::2], low[1::2], max_distance=3)
    assert set(distance) == {1}
    np.testing.assert_array_equal(low[1::2][place] ^ low[::2] == 1, np.ones(len(place), bool))


# Pictures


def drawn(seed: int) -> NDArray[np.uint8]:
    """A picture of its own: coloured blobs on white, blurred as a lens does."""
    random = np.random.default_rng(seed)
    image = np.full((120, 120, 3), 255, np.uint8)
    for _ in range(12):
        centre, size = random.integers(15, 105, 2), random.integers(6, 34, 2)
        cv2.ellipse(image, centre.tolist(), size.tolist(), float(random.uniform(0, 180)), 0, 360, random.integers(0, 255, 3).tolist(), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8)


def saved(image: NDArray[np.uint8], quality: int, size: float = 1.0) -> NDArray[np.uint8]:
    resized = cv2.resize(image, None, fx=size, fy=size, interpolation=cv2.INTER_AREA if size < 1 else cv2.INTER_CUBIC)
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR), np.uint8)


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    return ((fingerprint(one) ^ fingerprint(other)) & (2**64 - 1)).bit_count()


@pytest.mark.parametrize(("quality", "size"), [(95, 1.0), (60, 1.0), (30, 1.0), (90, 0.8), (90, 1.2), (90, 0.5)])
def test_a_copy_saved_anew_is_within_three_bits(quality: int, size: float) -> None:
    assert max(apart(image, saved(image, quality, size)) for image in map(drawn, range(40))) <= 3


@pytest.mark.parametrize("factor", [0.9, 1.05])
def test_a_slightly_darker_or_brighter_copy_is_nearly_always_within_three_bits(factor: float) -> None:
    images = [drawn(seed) for seed in range(40)]
    assert sum(apart(image, np.clip(image * factor, 0, 255).astype(np.uint8)) <= 3 for image in images) >= 38


def test_different_pictures_are_far_apart() -> None:
    prints = np.array([fingerprint(drawn(seed)) for seed in range(200)], np.int64).view(np.uint64)
    bits = distances(prints, prints)[np.triu_indices(200, 1)]
    assert bits.min() > 8
    # Independent bits would differ in half of 64.
    assert 24 < bits.mean() < 36


def test_the_same_shape_in_another_colour_is_no_near_copy() -> None:
    red, green = np.full((2, 100, 100, 3), 255, np.uint8)
    for image, colour in ((red, (40, 40, 200)), (green, (40, 120, 40))):
        cv2.ellipse(image, (46, 55), (34, 24), 20, 0, 360, colour, -1)
    assert [int(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[55, 46]) for image in (red, green)] == [88, 87]
    assert apart(red, green) > 3


def test_noise_of_compression_turns_no_bit_of_plain_and_grey_pictures() -> None:
    plain = np.full((100, 100, 3), 201, np.uint8)
    assert fingerprint(plain) == 0
    noisy = plain + np.random.default_rng(0).integers(-2, 3, plain.shape).astype(np.uint8)
    assert fingerprint(noisy) == 0
    for seed in range(20):
        grey = np.repeat(drawn(seed)[:, :, 1:2], 3, axis=2)
        assert apart(grey, saved(grey, 40)) <= 3


def test_a_picture_of_any_size_has_a_fingerprint_of_64_bits_with_sign() -> None:
    for height, width in ((1, 1), (1, 300), (7, 5), (1000, 40)):
        assert -(2**63) <= fingerprint(np.full((height, width, 3), 90, np.uint8)) < 2**63
    assert any(fingerprint(drawn(seed)) < 0 for seed in range(10))


# Real photographs


def prints_of(root: Path) -> list[Row]:
    """A row for each distinct file below Training and Test; a content on both sides is test."""
    rows: dict[str, Row] = {}
    for split in ("Training", "Test"):
        for path in sorted((root / split).rglob("*.jpg")):
            data = path.read_bytes()
            content = hashlib.sha256(data).hexdigest()
            image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
            rows[content] = (content, "test" if split == "Test" else "train", fingerprint(image))
    return list(rows.values())


@pytest.mark.heavy
def test_few_varieties_never_seen_look_like_near_copies_and_many_frames_of_one_video_do(photographs: Path, spark: Any) -> None:
    assert found(spark, prints_of(photographs / "threebody")).num_rows == 64  # of 6,910 test images
    assert found(spark, prints_of(photographs / "fruits10")).num_rows == 787  # of 1,714 test images, all frames of videos in train
