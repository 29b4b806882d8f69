"""A small lake that an earlier release wrote, beside its landing zone: see `write.py`."""

from __future__ import annotations

import tarfile
from pathlib import Path

_ARCHIVE = Path(__file__).with_name("lake.tar.xz")


def unpack(folder: Path) -> None:
    """Puts `lake/` and `landing/` into the folder."""
    with tarfile.open(_ARCHIVE) as packed:
        # Debian's Python 3.11.2 knows of no filters.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # type: ignore[assignment]
        packed.extractall(folder)
