"""The jobs' code as one zip for a cluster, named after what is in it."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

from pomona_airflow.deployment import PROJECT

PACKAGE = PROJECT / "spark_jobs" / "pomona"
_SUFFIXES = (".py", ".html")
# The earliest time that a zip can hold: the same code makes the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def code_zip(folder: Path) -> Path:
    """The zip of the package `pomona` in the folder; made when this very code has none yet, and only ever seen whole."""
    sources = {
        path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes() for path in sorted(PACKAGE.rglob("*")) if path.suffix in _SUFFIXES
    }
    digest = hashlib.sha256()
    for name, data in sources.items():
        digest.update(f"{name} {len(data)}\n".encode() + data)
    target = folder / f"pomona-{digest.hexdigest()[:16]}.zip"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        spare = target.with_suffix(f".{os.getpid()}")
        with zipfile.ZipFile(spare, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sources.items():
                archive.writestr(zipfile.ZipInfo(name, _NO_TIME), data, zipfile.ZIP_DEFLATED)
        spare.replace(target)
    return target
