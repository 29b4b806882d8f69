"""What a dataset is: a name, a kind, and its columns or arrays. Part of the contract, standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """One column of a table (an Arrow type name) or one array of an `.npz` (dtype and shape)."""

    name: str
    type: str
    help: str


@dataclass(frozen=True)
class Dataset:
    """A named thing that one stage writes and others read.

    `kind` is `rows` (Parquet), `arrays` (`.npz`, read with `allow_pickle=False`) or `document` (JSON).
    `shared` datasets are immutable parts that all runs of a lake use; the others belong to one run.
    """

    name: str
    kind: Literal["rows", "arrays", "document"]
    help: str
    columns: tuple[Column, ...]
    shared: bool = False


def columns(*rows: tuple[str, str, str]) -> tuple[Column, ...]:
    """Columns of (name, type, help)."""
    return tuple(Column(*row) for row in rows)


CONTENT = ("content", "string", "SHA-256 of the file's bytes, hexadecimal")
