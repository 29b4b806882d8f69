"""How datasets become bytes: Arrow schemas of the contract, and `.npz` without clock times. Libraries are imported when used."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pomona.datasets import DATASETS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def arrow_schema(dataset: str) -> pa.Schema:
    """The Arrow schema of a dataset of rows, without metadata."""
    import pyarrow as pa

    simple = {
        "string": pa.string(),
        "binary": pa.binary(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "list<float64>": pa.list_(pa.float64()),
    }
    return pa.schema([(column.name, simple[column.type]) for column in DATASETS[dataset].columns])


def parquet(table: pa.Table) -> bytes:
    """The table as one Parquet file, whatever its columns are: those of an earlier release too."""
    import pyarrow.parquet as pq

    pq.write_table(table, buffer := io.BytesIO())
    return buffer.getvalue()


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The arrays as an uncompressed `.npz` without clock times, so that equal arrays are equal bytes."""
    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()
