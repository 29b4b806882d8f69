"""What is asked, where the deployment keeps a share of it: files, which can be scored like any folder of pictures."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from pathlib import Path

# What the first bytes of the formats are that a version may read.
_ENDINGS = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
}


def keep(image: bytes, *, folder: Path, share: float, now: datetime | None = None) -> Path | None:
    """The file `served/<day>/<sha256>.<ending>` below the folder (day in UTC); None for what is not in the sample or is no picture.

    The hash decides what is in the sample, so that the same image is always in or always out, and one file a day however often it is
    asked. Nothing else of a request is kept.

    Raises
    ------
    OSError
    """
    digest, ending = hashlib.sha256(image).hexdigest(), _ending(image)
    if ending is None or int(digest[:13], 16) >= share * 16**13:
        return None
    file = folder / "served" / f"{now or datetime.now(UTC):%Y-%m-%d}" / f"{digest}.{ending}"
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    # Who lists a folder of pictures passes over dotfiles.
    part = file.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(image)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return file


def _ending(image: bytes) -> str | None:
    if image.startswith(b"RIFF") and image[8:12] == b"WEBP":
        return "webp"
    return next((ending for magic, ending in _ENDINGS.items() if image.startswith(magic)), None)
