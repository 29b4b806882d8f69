"""Pictures of any usual kind become upright 8-bit BGR; what is no usable picture becomes `BadImage`.

Ordinary JPEGs go through OpenCV, the faster decoder and the one that can decode a large photograph at a fraction of its size; everything
else goes through Pillow, which knows transparency, 16 bits, CMYK and palettes. Pillow's file classes are called by name, not through
`Image.open`: the list of formats stays ours, and the bound on the size is ours alone, without Pillow's process-wide
`Image.MAX_IMAGE_PIXELS`.

OpenCV and libjpeg write some complaints about broken files to standard error by themselves; `cv2.setLogLevel(0)` at the start of a worker
quiets OpenCV's.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

MIN_SIDE_PX = 8
"""Shorter sides are refused: no keypoint window fits, and such files are tracking pixels and icons, not photographs."""

_READERS: dict[bytes, Callable[[io.BytesIO], Image.Image]] = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"GIF8": GifImagePlugin.GifImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
}
# What Pillow's parsers were seen to raise on broken files; a MemoryError is the machine's trouble and passes.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    cv2.error,
)
_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ORDINARY_FRAMES = frozenset({0xC0, 0xC1, 0xC2})


class BadImage(ValueError):
    """The bytes are no usable picture; the text says why in a few words."""


class Header(NamedTuple):
    """What the first bytes say: the format's name as Pillow spells it, and the size in pixels as stored (of a TIFF, as Pillow turns it)."""

    format: str
    width: int
    height: int


def check(data: bytes, *, max_megapixels: float) -> Header:
    """The header of a picture that is sure to decode.

    The size is judged by the header alone, before any pixel is decoded. Then all of the file is decoded once, as cheaply as its format
    allows: a JPEG at an eighth of its size, which still reads every coefficient.

    Raises
    ------
    BadImage
        For no bytes, unknown formats, sides under `MIN_SIDE_PX`, more than `max_megapixels`, and files that are cut off or broken.
    """
    header, ordinary_jpeg = _header(data)
    size = f"{header.width}×{header.height} pixels"
    if min(header.width, header.height) < MIN_SIDE_PX:
        raise BadImage(f"{size}: too small")
    if header.width * header.height > max_megapixels * 1e6:
        raise BadImage(f"{size}: over {max_megapixels:g} megapixels")
    if not ordinary_jpeg:
        _by_pillow(data)
        return header
    if not data.endswith(b"\xff\xd9"):
        # Cameras append thumbnails and padding behind the end marker. OpenCV before 5 decodes a cut-off file without a word; Pillow never
        # did.
        with _refusing("broken JPEG"):
            JpegImagePlugin.JpegImageFile(io.BytesIO(data)).load()
    _by_opencv(data, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    return header


def decode(data: bytes, *, side_px: int) -> NDArray[np.uint8]:
    """The picture upright, (height, width, 3) uint8 BGR, its longest side at most `side_px`; smaller ones keep their size.

    Orientation by EXIF, transparency over white, 16 bits cut to the upper 8, CMYK and grey to BGR, of an animation the first frame. A
    JPEG far larger than `side_px` is decoded at 1/2, 1/4 or 1/8 of its size (still no smaller than `side_px`) and then averaged down.

    Raises
    ------
    BadImage
        When the bytes do not decode. The size is not judged here: `check` comes first for bytes of unknown origin.
    """
    header, ordinary_jpeg = _header(data)
    if ordinary_jpeg:
        longest = max(header.width, header.height)
        scale = next(scale for scale in (8, 4, 2, 1) if scale == 1 or longest >= scale * side_px)
        image = _by_opencv(data, _REDUCED[scale])
    else:
        image = _by_pillow(data)
    return _shrunk(image, side_px)


def _shrunk(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    factor = side_px / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _header(data: bytes) -> tuple[Header, bool]:
    """The header, and whether OpenCV decodes the file: a JPEG with Huffman coding, 8 bits and one or three channels."""
    if not data:
        raise BadImage("no bytes")
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_header(data)
    with _refusing("broken header"), _opened(data) as image:
        return Header(image.format or "", *image.size), False


def _jpeg_header(data: bytes) -> tuple[Header, bool]:
    """As `_header`, by walking the markers up to the frame's: a fortieth of the time that Pillow takes over it (ITU-T T.81, annex B)."""
    position = 2
    while position + 10 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
        elif marker in _JPEG_FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 4)
            return Header("JPEG", width, height), marker in _ORDINARY_FRAMES and bits == 8 and channels in (1, 3)
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise BadImage("broken JPEG: no frame header")


def _by_opencv(data: bytes, mode: int) -> NDArray[np.uint8]:
    with _refusing("broken JPEG"):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
        if image is None:
            raise BadImage("broken or cut off JPEG")
    return np.asarray(image, dtype=np.uint8)


def _by_pillow(data: bytes) -> NDArray[np.uint8]:
    with _refusing("broken picture"), _opened(data) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
        if image.mode in ("I", "F"):
            # Their range is unknown: black is no constant, and neither is white.
            raise BadImage("32 bits a channel: save it with 8 or 16")
        rgb = np.asarray(_over_white(image) if image.has_transparency_data else image.convert("RGB"))
    return np.ascontiguousarray(rgb[:, :, ::-1])


def _over_white(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", image.size, "white")
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert("RGB")


def _opened(data: bytes) -> Image.Image:
    for magic, reader in _READERS.items():
        if data.startswith(magic):
            return reader(io.BytesIO(data))
    raise BadImage("no JPEG, PNG, GIF, WebP, BMP or TIFF")


@contextmanager
def _refusing(what: str) -> Iterator[Any]:
    """Decoders' exceptions come out as `BadImage` with the first line of their text."""
    try:
        yield
    except BadImage:
        raise
    except _BROKEN as error:
        lines = str(error).strip().splitlines()
        raise BadImage(f"{what}: {lines[0][:120] if lines else type(error).__name__}") from error
