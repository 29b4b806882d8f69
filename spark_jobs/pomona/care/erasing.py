"""A content taken out of tables, documents, arrays, CSVs and pages. Pure; where nothing is said of it, what comes back is what came in."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pomona.formats import npz

if TYPE_CHECKING:
    import pyarrow as pa

ERASED = "forgotten"
_PICTURE = re.compile(r"data:image/[a-z+.-]+;base64,[A-Za-z0-9+/=]+")
# One transparent pixel.
_BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
_LINE = "<p>The pictures of this page were taken out when one of the images of its run was forgotten.</p>"


def mentions(table: pa.Table, content: str) -> bool:
    """Whether a row of the table is about the content."""
    return bool(without_rows(table, content).num_rows != table.num_rows)


def without_rows(table: pa.Table, content: str) -> pa.Table:
    """The table without the rows that name the content in any of their columns of text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in (field.name for field in table.schema if content and pa.types.is_string(field.type)):
        table = table.filter(pc.fill_null(pc.not_equal(table[name], content), True))
    return table


def without_items(document: Any, content: str) -> Any:
    """The JSON value without list items and entries of mappings that are or name the content; elsewhere its name is replaced."""
    if isinstance(document, dict):
        kept = {key: value for key, value in document.items() if key != content}
        return {key: without_items(value, content) for key, value in kept.items()}
    if isinstance(document, list):
        return [without_items(item, content) for item in document if not _names(item, content)]
    return document.replace(content, ERASED) if isinstance(document, str) else document


def _names(item: Any, content: str) -> bool:
    values = item.values() if isinstance(item, dict) else item if isinstance(item, list) else [item]
    return any(value == content for value in values)


def without_texts(arrays: bytes, content: str) -> bytes:
    """The `.npz` with another name, each its own, where a text in it is the content: an image without a group is one by that name."""
    import numpy as np

    # Neither packed nor in fewer than four bytes a sign.
    if content.encode("utf-32-le") not in arrays:
        return arrays
    with np.load(io.BytesIO(arrays), allow_pickle=False) as archive:
        told = {name: archive[name] for name in archive.files}
    for array in (array for array in told.values() if array.dtype.kind == "U"):
        places = np.flatnonzero(array == content)
        array[places] = [f"{ERASED} {place}" for place in places]
    return npz(told)


def without_records(lines: Iterable[bytes], content: str, paths: Collection[str]) -> Iterator[bytes]:
    """The CSV records, byte by byte as they came, but for those that name the content or begin with one of the paths."""
    for record in _records(lines):
        (fields,) = csv.reader([record.decode("utf-8", "replace")])
        if content not in fields and not (fields and fields[0] in paths):
            yield record


def _records(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Whole records: a path in quotes may hold an end of line."""
    record = b""
    for line in lines:
        record += line
        if record.count(b'"') % 2 == 0:
            yield record
            record = b""
    if record:
        yield record


def without_name(page: str, content: str) -> str:
    """The page without the content's name; its pictures show others."""
    return page.replace(content, ERASED)


def without_pictures(page: str, content: str) -> str:
    """The page without any picture, with a line that says why, and without the content's name.

    All of them, because which ones show the image cannot be told of every page that any release wrote: thumbnails depend on the library
    that made them, and a strip of patches holds pieces of sixty images.
    """
    bare = without_name(_PICTURE.sub(_BLANK, page), content)
    return bare if _LINE in bare or bare == page else bare.replace("<main>", f"<main>{_LINE}", 1)
