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
_PAIRS = "content string, train_content string, distance int, fingerprint long"
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
    from pomona.work import in_worker

    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance={max_distance}: four bands find near copies of 0 to {MAX_DISTANCE} bits")
    bands = sf.array(*(sf.shiftrightunsigned("fingerprint", _BITS * i).bitwiseAND((1 << _BITS) - 1) for i in range(_BANDS)))
    banded = images.select(
        (sf.col("split") == "test").alias("is_test"), "fingerprint", "content", sf.posexplode(bands).alias("band", "value")
    )
    # A pair that shares several bands is found in each: four rows for an image at most.
    pairs = banded.repartition("band", "value").mapInArrow(in_worker(_search(max_distance)), _PAIRS).toPandas()
    once = pairs.sort_values(["content", "distance", "fingerprint"]).drop_duplicates("content")
    table = pa.Table.from_pandas(once.drop(columns="fingerprint"), schema=arrow_schema("near_copies"), preserve_index=False)
    return table.replace_schema_metadata(None)


def nearest(test: Prints, train: Prints, *, max_distance: int, free: Prints | None = None) -> tuple[Places, Bytes]:
    """For each test fingerprint the place in `train` of the nearest, and how many bits it differs; 255 where none is near enough.

    Of equally near ones the first is named. Where there are many, those that agree in no part of the free bits are left uncompared: of
    max_distance + 1 parts one must agree, so nothing is missed.

    Parameters
    ----------
    test, train : (n,) uint64, each without repetition (so that dividing comes to an end), alike in all but the free bits
    free : (n_free,) uint64, the bits that may differ, as numbers with one bit set; None for all 64
    """
    bits = np.uint64(1) << np.arange(64, dtype=np.uint64) if free is None else free
    place, distance = np.zeros(len(test), np.intp), np.full(len(test), _NO_DISTANCE, np.uint8)
    if len(test) * len(train) <= _CELLS:
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
    """A transform of images with a band and its value, all of a value together, into a row for each test image with a near copy there."""

    def transform(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        gathered = list(batches)
        if not gathered:
            return
        table = pa.Table.from_batches(gathered).sort_by([("fingerprint", "ascending"), ("content", "ascending")])
        test, train = table.filter(pc.field("is_test")), table.filter(~pc.field("is_test"))
        found = [np.empty((3, 0), np.intp), *_near(test, train, max_distance)]
        ours, theirs, distance = np.concatenate(found, axis=1)
        columns = [
            test["content"].take(ours),
            train["content"].take(theirs),
            pa.array(distance, pa.int32()),
            train["fingerprint"].take(theirs),
        ]
        names = ["content", "train_content", "distance", "fingerprint"]
        yield from pa.Table.from_arrays(columns, names).combine_chunks().to_batches()

    return transform


def _near(test: pa.Table, train: pa.Table, max_distance: int) -> Iterator[NDArray[np.intp]]:
    """For each value of a band on both sides (3, n): row in test, row in train, distance. Many frames of a video have one fingerprint."""
    our_prints, their_prints = (table["fingerprint"].to_numpy() for table in (test, train))
    our_bands, their_bands = ((table["band"].to_numpy().astype(np.int64) << _BITS) + table["value"].to_numpy() for table in (test, train))
    for ours, theirs in _shared(our_bands, their_bands):
        prints, which = np.unique(our_prints[ours], return_inverse=True)
        candidates, first = np.unique(their_prints[theirs], return_index=True)
        place, distance = nearest(prints.view(np.uint64), candidates.view(np.uint64), max_distance=max_distance)
        near = (distance <= max_distance)[which]
        if near.any():
            yield np.stack([ours[near], theirs[first[place[which[near]]]], distance[which[near]].astype(np.intp)])
