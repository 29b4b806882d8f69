"""Writes every strange file that a landing zone was seen to hold, and says by hand what must become of each.

Each picture has contents of its own, except where copies are the point, so that the counts of a run over the folder add up:
`counted(write(folder))` gives them.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Fate = Literal["kept", "rejected", "ignored", "duplicate", "conflict"]


class Expectation(NamedTuple):
    """What must become of a file; of a rejected one, a part of the reason."""

    fate: Fate
    reason: str = ""


KEPT, IGNORED, DUPLICATE, CONFLICT = (Expectation(fate) for fate in ("kept", "ignored", "duplicate", "conflict"))

HTML_LABEL = '<img src=x onerror=alert(1)> & "Söhne"'
LABELS = ("Plain", HTML_LABEL, "a=b 100%", "new\nline", "Pomme d'été 🍎")
NAMES = (
    "with spaces.jpg",
    'it\'s "quoted".jpg',
    "élève Äpfel Ñandú 水果.jpg",
    "e\u0301 decomposed.jpg",
    "🍓.jpg",
    "a=b.jpg",
    "100%25 %s {0} $HOME.jpg",
    "new\nline.jpg",
    "tab\tand trailing blank .jpg",
    "back\\slash.jpg",
    "comma, semicolon; hash#question?.jpg",
    "*[glob]?.jpg",
    "-rf.jpg",
    "<script>alert('x')<&>.jpg",
    "UPPER.JPG",
    "without_extension",
    "l" + "o" * 230 + "ng.jpg",
)


def write(folder: Path) -> dict[str, Expectation]:
    """Path below the folder, as the landing zone lists it, and what must become of it.

    Links lead to `<folder>-outside`, which is written beside the folder: its name begins like the folder's, so that a comparison of
    texts does not do. A file whose rights are taken away is kept where nothing is denied (root), otherwise rejected.
    """
    expected: dict[str, Expectation] = {}
    for part in (_ordinary, _formats, _broken, _names, _links, _copies, _ignored):
        expected.update(part(folder))
    return expected


def counted(expected: dict[str, Expectation]) -> Counter[str]:
    """How many files have each fate."""
    return Counter(expectation.fate for expectation in expected.values())


def picture(number: int, side: int = 64) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 BGR: coloured discs on white, other ones for each number; more than enough for a keypoint."""
    random = np.random.default_rng(number)
    image = np.full((side, side, 3), 250, np.uint8)
    for _ in range(14):
        x, y = (int(v) for v in random.integers(4, side - 4, size=2))
        cv2.circle(image, (x, y), int(random.integers(2, side // 6)), [int(v) for v in random.integers(0, 220, size=3)], -1, cv2.LINE_AA)
    return image


def jpeg(number: int) -> bytes:
    return _encoded(".jpg", picture(number))


def _encoded(suffix: str, image: NDArray[Any]) -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


def _pillow(number: int, mode: str, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(number)[:, :, ::-1]).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def _put(folder: Path, files: Iterable[tuple[str, bytes, Expectation]]) -> dict[str, Expectation]:
    expected = {}
    for path, content, expectation in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        expected[path] = expectation
    return expected


def _ordinary(folder: Path) -> dict[str, Expectation]:
    """Four pictures on each side under every label, so that a run over the folder has something to learn from."""
    sides = (("Training", 0), ("Test", 4))
    paths = [
        (f"{side}/{label}/r{first}_{n}_100.jpg", 100 * place + first + n)
        for place, label in enumerate(LABELS)
        for side, first in sides
        for n in range(4)
    ]
    return _put(folder, [(path, jpeg(number), KEPT) for path, number in paths])


def _formats(folder: Path) -> dict[str, Expectation]:
    """What is unusual and yet a picture."""
    image = picture(1000)
    deep = picture(1001).astype(np.uint16) * 257
    clear = np.dstack([picture(1002), np.where(picture(1002).min(axis=2) > 240, 0, 255).astype(np.uint8)])
    frames = [Image.fromarray(picture(number)[:, :, ::-1]) for number in (1003, 1004, 1005)]
    film = io.BytesIO()
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0)
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be turned a quarter clockwise
    wide = _encoded(".png", cv2.resize(picture(1006), (96, 48)))
    upright = io.BytesIO()
    Image.open(io.BytesIO(wide)).convert("RGB").save(upright, "JPEG", exif=turned)
    files = [
        ("png_named.jpg", _encoded(".png", image)),
        ("cmyk.jpg", _pillow(1007, "CMYK", "JPEG")),
        ("sixteen_bits.png", _encoded(".png", deep)),
        ("sixteen_bits_grey.png", _encoded(".png", deep[:, :, 0])),
        ("alpha.png", _encoded(".png", clear)),
        ("grey.jpg", _pillow(1008, "L", "JPEG")),
        ("grey_alpha.png", _pillow(1009, "LA", "PNG")),
        ("palette.png", _pillow(1010, "P", "PNG")),
        ("one_bit.png", _pillow(1011, "1", "PNG")),
        ("exif_rotated.jpg", upright.getvalue()),
        ("animated.gif", film.getvalue()),
        ("progressive.jpg", _pillow(1012, "RGB", "JPEG", progressive=True)),
        ("with_thumbnail_behind.jpg", jpeg(1013) + jpeg(1014)),
        ("picture.webp", _pillow(1015, "RGB", "WEBP")),
        ("picture.bmp", _pillow(1016, "RGB", "BMP")),
        ("picture.tif", _pillow(1017, "RGB", "TIFF")),
        ("blank.jpg", _encoded(".jpg", np.full((64, 64, 3), 255, np.uint8))),
    ]
    return _put(folder, [(f"Training/Plain/{name}", content, KEPT) for name, content in files])


def _broken(folder: Path) -> dict[str, Expectation]:
    whole = jpeg(2000)
    files = [
        ("zero_bytes.jpg", b"", "no bytes"),
        ("truncated.jpg", whole[: len(whole) // 2], "broken"),
        ("truncated_in_its_header.jpg", whole[:30], "broken"),
        ("truncated.png", _encoded(".png", picture(2001))[:900], "broken"),
        ("text.jpg", b"<html><body>404 Not Found</body></html>\n", "no JPEG"),
        ("pixel.png", _encoded(".png", picture(2002)[:1, :1]), "1×1"),
        ("pixel.gif", _pixel_gif(), "1×1"),
        ("huge.png", _png_that_says(20_000, 20_000), "over 100 megapixels"),
        ("huge.jpg", _jpeg_that_says(whole, 20_000, 20_000), "over 100 megapixels"),
    ]
    expected = _put(folder, [(f"Training/Plain/{name}", content, Expectation("rejected", reason)) for name, content, reason in files])
    loose = [
        ("no_label.jpg", "no label folder"),
        ("Training/no_label.jpg", "no label folder"),
        ("Drafts/Plain/draft.jpg", "outside Training and Test"),
    ]
    expected |= _put(folder, [(path, jpeg(2003 + i), Expectation("rejected", reason)) for i, (path, reason) in enumerate(loose)])
    closed = "Training/Plain/unreadable.jpg"
    _put(folder, [(closed, jpeg(2010), KEPT)])
    (folder / closed).chmod(0)
    # Root reads what has no rights at all; everybody else is refused.
    expected[closed] = KEPT if os.access(folder / closed, os.R_OK) else Expectation("rejected", "cannot be read")
    return expected


def _pixel_gif() -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (1, 1)).save(buffer, "GIF")
    return buffer.getvalue()


def _png_that_says(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes whose header announces that many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(3 * width + 1))) + chunk(b"IEND", b"")


def _jpeg_that_says(data: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its baseline frame header (marker FFC0: length, precision, height, width)."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def _names(folder: Path) -> dict[str, Expectation]:
    expected = _put(folder, [(f"Training/Plain/{name}", jpeg(3000 + i), KEPT) for i, name in enumerate(NAMES)])
    raw = os.fsencode(folder / "Training" / "Plain") + b"/latin1 caf\xe9.jpg"
    Path(os.fsdecode(raw)).write_bytes(jpeg(3100))
    return expected | {"Training/Plain/latin1 caf\\xe9.jpg": Expectation("rejected", "UTF-8")}


def _links(folder: Path) -> dict[str, Expectation]:
    outside = folder.with_name(f"{folder.name}-outside")
    _put(outside, [("secret.jpg", jpeg(4000), KEPT), ("Pears/secret.jpg", jpeg(4001), KEPT)])
    links = [
        ("zz link out.jpg", outside / "secret.jpg", Expectation("rejected", "out of the landing zone")),
        ("zz relative link out.jpg", Path("../../..") / outside.name / "secret.jpg", Expectation("rejected", "out of the landing zone")),
        ("zz folder out", outside / "Pears", Expectation("rejected", "out of the landing zone")),
        ("zz dangling.jpg", Path("nowhere.jpg"), Expectation("rejected", "leads nowhere")),
        ("zz loop a.jpg", Path("zz loop b.jpg"), Expectation("rejected", "leads nowhere")),
        ("zz loop b.jpg", Path("zz loop a.jpg"), Expectation("rejected", "leads nowhere")),
        ("zz up", Path(".."), Expectation("rejected", "link to a folder")),
        ("zz link within.jpg", Path("r0_0_100.jpg"), DUPLICATE),
    ]
    for name, target, _ in links:
        (folder / "Training" / "Plain" / name).symlink_to(target)
    return {f"Training/Plain/{name}": expectation for name, _, expectation in links}


def _copies(folder: Path) -> dict[str, Expectation]:
    """The same bytes five times, under two labels, on both sides, and all of it at once."""
    other = LABELS[2]
    five = [(f"Training/Plain/five_{n}.jpg", jpeg(5000), DUPLICATE if n else KEPT) for n in range(5)]
    labels = [(f"Training/{label}/two labels.jpg", jpeg(5001), CONFLICT) for label in ("Plain", other)]
    sides = [("Training/Plain/both sides.jpg", jpeg(5002), DUPLICATE), ("Test/Plain/both sides.jpg", jpeg(5002), KEPT)]
    paths = [
        "Training/Plain/at once.jpg",
        "Training/Plain/at once 2.jpg",
        f"Training/{other}/at once.jpg",
        "Test/Plain/at once.jpg",
        f"Test/{other}/at once.jpg",
    ]
    return _put(folder, [*five, *labels, *sides, *((path, jpeg(5003), CONFLICT) for path in paths)])


def _ignored(folder: Path) -> dict[str, Expectation]:
    paths = ["notes.txt", "Training/.DS_Store", "Training/Plain/labels.csv", "Training/Plain/meta.JSON", "Training/Plain/Thumbs.db"]
    paths += ["__MACOSX/Training/Plain/._r0_0_100.jpg", "Training/Plain/.hidden.jpg", "Test/.thumbnails/r0_0_100.jpg"]
    return _put(folder, [(path, jpeg(6000), IGNORED) for path in paths])
