"""Near copies across the split: training images whose fingerprint differs in few bits from that of a test image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from pomona.tasks import Batches, Tasks, Transform

Prints = NDArray[np.uint64]
Places = NDArray[np.intp]
Bytes = NDArray[np.uint8]

MAX_DISTANCE = 3
_BANDS = MAX_DISTANCE + 1
_BITS = 16
_NO_DISTANCE = 255
# Comparisons made in one go: 4 million take some 30 ms and 32 MB. More than that are first divided by further bands.
_CELLS = 1 << 22


def found(images: Tasks, *, max_distance: int) -> pa.Table:
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

    from pomona.formats import arrow_schema

    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance={max_distance}: four bands find near copies of 0 to {MAX_DISTANCE} bits")
    # A pair that shares several bands is found in each: four rows for an image at most.
    pairs = images.map(_banded).shuffled(_by_band).map(_search(max_distance)).table(_pairs()).to_pandas()
    once = pairs.sort_values(["content", "distance", "fingerprint"]).drop_duplicates("content")
    table = pa.Table.from_pandas(once.drop(columns="fingerprint"), schema=arrow_schema("near_copies"), preserve_index=False)
    return table.replace_schema_metadata(None)


def _banded(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Each image once for each of its bands."""
    import pyarrow as pa

    for batch in batches:
        prints = batch["fingerprint"].to_numpy().view(np.uint64)
        bands = (prints[:, None] >> (np.uint64(_BITS) * np.arange(_BANDS, dtype=np.uint64))) & np.uint64((1 << _BITS) - 1)
        rows = np.repeat(np.arange(len(prints)), _BANDS)
        columns = {
            "is_test": pa.array(batch["split"].to_numpy(zero_copy_only=False)[rows] == "test"),
            "fingerprint": batch["fingerprint"].take(pa.array(rows)),
            "content": batch["content"].take(pa.array(rows)),
            "band": np.tile(np.arange(_BANDS), len(prints)),
            "value": bands.ravel().astype(np.int64),
        }
        yield pa.RecordBatch.from_pydict(columns)


def _by_band(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """A number for each band and value."""
    return np.asarray((batch["band"].to_numpy() << _BITS) + batch["value"].to_numpy(), dtype=np.int64)


def _pairs() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("content", pa.string()), ("train_content", pa.string()), ("distance", pa.int32()), ("fingerprint", pa.int64())])


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


def _search(max_distance: int) -> Transform:
    """A transform of images with a band and its value, all of a value together, into a row for each test image with a near copy there."""

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
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
    our_bands, their_bands = (_by_band(table) for table in (test, train))
    for ours, theirs in _shared(our_bands, their_bands):
        prints, which = np.unique(our_prints[ours], return_inverse=True)
        candidates, first = np.unique(their_prints[theirs], return_index=True)
        place, distance = nearest(prints.view(np.uint64), candidates.view(np.uint64), max_distance=max_distance)
        near = (distance <= max_distance)[which]
        if near.any():
            yield np.stack([ours[near], theirs[first[place[which[near]]]], distance[which[near]].astype(np.intp)])
