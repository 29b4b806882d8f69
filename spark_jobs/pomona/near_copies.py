"""Near copies across the split: training images whose fingerprint differs in few bits from that of a test image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

Prints = NDArray[np.uint64]
Places = NDArray[np.intp]
Bytes = NDArray[np.uint8]

MAX_DISTANCE = 3
_BANDS = MAX_DISTANCE + 1
_BITS = 16
_NO_DISTANCE = 255
# Comparisons made in one go: 4 million take some 30 ms and 32 MB. More than that are first divided by further bands.
_CELLS = 1 << 22


def found(images: DataFrame, *, max_distance: int) -> pa.Table:
    """For each test image with a near copy in train the nearest one, in the columns of `near_copies`, sorted by content.

    Two fingerprints of 64 bits that differ in at most 3 agree in at least one of four bands of 16 (Manku, Jain & Das Sarma 2007), so that
    only those that share a band are compared; none that does is left out, however many they are (`nearest`). Of training images that are
    equally near, that with the smallest fingerprint is named, and of several with this fingerprint that with the smallest content.

    Parameters
    ----------
    images : content, split (`train` or `test`), fingerprint (int64)
    max_distance : 0 to 3

    Raises
    ------
    ValueError
        For another max_distance.
    """
    import pyarrow as pa
    from pyspark.sql import functions as sf

    from pomona.formats import arrow_schema

    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance={max_distance}: four bands find near copies of 0 to {MAX_DISTANCE} bits")
    bands = sf.array(*(sf.shiftrightunsigned("fingerprint", _BITS * i).bitwiseAND((1 << _BITS) - 1) for i in range(_BANDS)))
    # Many frames of a video have one fingerprint: each is compared once.
    sides = images.groupBy("split", "fingerprint").agg(sf.min("content").alias("train_content"))
    banded = sides.select((sf.col("split") == "test").alias("is_test"), "fingerprint", sf.posexplode(bands).alias("band", "value"))
    pairs = banded.repartition("band", "value").mapInArrow(_search(max_distance), "fingerprint long, distance int, theirs long")
    nearest = pairs.groupBy("fingerprint").agg(sf.min(sf.struct("distance", "theirs")).alias("nearest")).select("fingerprint", "nearest.*")
    train = sides.where("split = 'train'").select(sf.col("fingerprint").alias("theirs"), "train_content")
    rows = images.where("split = 'test'").join(nearest, "fingerprint").join(train, "theirs").select("content", "train_content", "distance")
    table = pa.Table.from_pandas(rows.toPandas(), schema=arrow_schema("near_copies"), preserve_index=False)
    return table.replace_schema_metadata(None).sort_by("content")


def nearest(test: Prints, train: Prints, *, max_distance: int, free: Prints | None = None) -> tuple[Places, Bytes]:
    """For each test fingerprint the place in `train` of the nearest, and how many bits it differs; 255 where none is near enough.

    Of equally near ones the first is named. Where there are many, those that agree in no part of the free bits are left uncompared: of
    max_distance + 1 parts one must agree, so nothing is missed.

    Parameters
    ----------
    test, train : (n,) uint64, each without repetition, alike in all but the free bits
    free : (n_free,) uint64, the bits that may differ, as numbers with one bit set; None for all 64
    """
    bits = np.uint64(1) << np.arange(64, dtype=np.uint64) if free is None else free
    place, distance = np.zeros(len(test), np.intp), np.full(len(test), _NO_DISTANCE, np.uint8)
    if len(test) * len(train) <= _CELLS or len(bits) <= max_distance:
        _compare(test, train, place, distance)
    else:
        for part in np.array_split(bits, max_distance + 1):
            mask = np.bitwise_or.reduce(part)
            for ours, theirs in _shared(test & mask, train & mask):
                there, far = nearest(test[ours], train[theirs], max_distance=max_distance, free=np.setdiff1d(bits, part))
                _take_nearer(place, distance, ours, theirs[there], far)
    distance[distance > max_distance] = _NO_DISTANCE
    return place, distance


def _compare(test: Prints, train: Prints, place: Places, distance: Bytes) -> None:
    if not len(train):
        return
    rows = max(1, _CELLS // len(train))
    for start in range(0, len(test), rows):
        block = slice(start, start + rows)
        bits = np.bitwise_count(test[block, None] ^ train[None, :])
        place[block] = bits.argmin(axis=1)
        distance[block] = bits.min(axis=1)


def _take_nearer(place: Places, distance: Bytes, ours: Places, there: Places, far: Bytes) -> None:
    """Puts what was found for the rows `ours` in place of what is farther away, or equally far and later in train."""
    nearer = (far < distance[ours]) | ((far == distance[ours]) & (far != _NO_DISTANCE) & (there < place[ours]))
    place[ours[nearer]], distance[ours[nearer]] = there[nearer], far[nearer]


def _shared(test: NDArray[Any], train: NDArray[Any]) -> Iterator[tuple[Places, Places]]:
    """For each value on both sides, the places that have it in the one and in the other, ascending."""
    common = np.intersect1d(test, train)
    return zip(_places(test, common), _places(train, common), strict=True)


def _places(values: NDArray[Any], wanted: NDArray[Any]) -> Iterator[Places]:
    order = np.argsort(values, kind="stable")
    starts, ends = (np.searchsorted(values, wanted, side=side, sorter=order) for side in ("left", "right"))
    return (order[start:end] for start, end in zip(starts, ends, strict=True))


def _search(max_distance: int) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A transform of (is_test, fingerprint, band, value), all rows of a band's value together, into a row per near test fingerprint."""

    def transform(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        columns = list(zip(*([column.to_numpy(zero_copy_only=False) for column in batch.columns] for batch in batches), strict=True))
        if not columns:
            return
        is_test, prints, band, value = (np.concatenate(column) for column in columns)
        order = np.argsort(prints, kind="stable")
        is_test, prints, buckets = is_test[order], prints[order].view(np.uint64), (band.astype(np.int64) << _BITS | value)[order]
        test, train = prints[is_test], prints[~is_test]
        pairs = [np.empty((3, 0), np.int64)]
        for ours, theirs in _shared(buckets[is_test], buckets[~is_test]):
            place, distance = nearest(test[ours], train[theirs], max_distance=max_distance)
            near = distance <= max_distance
            if near.any():
                pairs.append(np.stack([test[ours[near]].view(np.int64), distance[near], train[theirs[place[near]]].view(np.int64)]))
        found = np.concatenate(pairs, axis=1)
        arrays = [pa.array(found[0]), pa.array(found[1], pa.int32()), pa.array(found[2])]
        yield pa.RecordBatch.from_arrays(arrays, ["fingerprint", "distance", "theirs"])

    return transform
