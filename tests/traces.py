"""What of an image is still to be found below some folders: its bytes, pictures made of it, its name; also inside of compressed tables."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pomona.report.assembly import _thumbnail


def traces(image: bytes, *folders: Path) -> dict[str, set[str]]:
    """What is found of it, by the path of the file: `name`, `image`, `thumbnail`."""
    name, thumbnail = hashlib.sha256(image).hexdigest(), base64.b64encode(_thumbnail(image))
    # Arrays keep a text in four bytes a sign.
    needles = {"name": (name.encode(), name.encode("utf-32-le")), "image": (image,), "thumbnail": (thumbnail,)}
    found = {}
    for folder in folders:
        for path in sorted(file for file in folder.rglob("*") if file.is_file()):
            texts = [path.read_bytes(), *(_values(path) if path.suffix == ".parquet" else ())]
            there = {what for what, forms in needles.items() if any(form in text for form in forms for text in texts)}
            if there:
                found[path.relative_to(folder).as_posix()] = there
    return found


def _values(path: Path) -> list[bytes]:
    table = pq.read_table(path)
    plain = [field.name for field in table.schema if pa.types.is_string(field.type) or pa.types.is_binary(field.type)]
    values: list[Any] = [value for name in plain for value in table[name].unique().to_pylist() if value]
    return [value.encode() if isinstance(value, str) else value for value in values]
