"""Every strange picture gets its verdict, and what decodes looks the same whatever file it came in."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pomona.vision.decode import BadImage, Header, check, decode

ORIENTED = {
    1: [],
    2: ["FLIP_LEFT_RIGHT"],
    3: ["ROTATE_180"],
    4: ["FLIP_TOP_BOTTOM"],
    5: ["TRANSPOSE"],
    6: ["ROTATE_90"],
    7: ["TRANSVERSE"],
    8: ["ROTATE_270"],
}


def verdict(data: bytes, max_megapixels: float = 100) -> str:
    with pytest.raises(BadImage) as caught:
        check(data, max_megapixels=max_megapixels)
    return str(caught.value)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises much and holds nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_every_usual_format_is_known_by_its_bytes_and_its_stored_size(format: str, saved: Any, blobs: Any) -> None:
    data = saved(blobs(1), format)
    assert check(data, max_megapixels=1) == Header(format, 96, 80)
    assert decode(data, side_px=512).shape == (80, 96, 3)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_a_lossless_file_decodes_to_its_own_pixels_as_bgr(format: str, saved: Any, blobs: Any) -> None:
    image = blobs(1)
    assert np.array_equal(decode(saved(image, format), side_px=512), image[:, :, ::-1])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no bytes"),
        (b"apple,banana\n" * 40, "no JPEG, PNG, GIF, WebP, BMP or TIFF"),
        (b"\xff\xd8\xff", "broken JPEG: no frame header"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + b"\0" * 40, "broken JPEG: no frame header"),
        (b"\x89PNG\r\n\x1a\n", "broken header"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "broken header"),
        (png_header(1, 1), "1×1 pixels: too small"),
        (png_header(400, 7), "400×7 pixels: too small"),
        (png_header(20_000, 20_000), "20000×20000 pixels: over 100 megapixels"),
        (png_header(9_000, 9_000), "broken picture"),
    ],
    ids=[
        "zero bytes",
        "text",
        "bare JPEG mark",
        "JPEG of zeros",
        "bare PNG mark",
        "sound in RIFF",
        "1×1",
        "400×7",
        "400 megapixels",
        "hollow PNG",
    ],
)
def test_what_is_no_picture_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    assert verdict(data).startswith(reason)


def test_a_huge_jpeg_is_refused_by_its_header(saved: Any, blobs: Any) -> None:
    data = bytearray(saved(blobs(1)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    assert verdict(bytes(data)) == "60000×60000 pixels: over 100 megapixels"


def test_a_size_that_pillow_refuses_by_itself_is_a_bad_image_too(saved: Any, blobs: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    data = bytearray(saved(blobs(1), "WEBP", exif=exif))
    assert data[12:16] == b"VP8X"
    data[24:30] = (20_479).to_bytes(3, "little") * 2
    assert "419430400 pixels" in verdict(bytes(data))


def test_refusing_by_the_header_leaves_pillow_s_own_bound_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    verdict(png_header(20_000, 20_000))
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_file_that_was_cut_off_is_refused(format: str, share: float, saved: Any, blobs: Any) -> None:
    data = saved(blobs(1), format)
    verdict(data[: int(len(data) * share)])


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_jpeg_that_lost_its_last_bytes_is_refused(cut: int, saved: Any, blobs: Any) -> None:
    verdict(saved(blobs(1))[:-cut])


def test_bytes_behind_a_jpeg_s_end_do_no_harm(saved: Any, blobs: Any) -> None:
    assert check(saved(blobs(1)) + b"\0" * 16 + b"maker's note", max_megapixels=1).format == "JPEG"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_broken_bytes_anywhere_give_a_verdict_and_nothing_else(saved: Any, blobs: Any) -> None:
    generator = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"):
        data = np.frombuffer(saved(blobs(1, width=40, height=32), format), np.uint8)
        for _ in range(60):
            broken = data.copy()
            broken[generator.integers(4, len(data), 4)] = generator.integers(0, 256, 4)
            try:
                check(broken.tobytes(), max_megapixels=1)
            except BadImage:
                continue
            assert decode(broken.tobytes(), side_px=64).ndim == 3


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTED)
def test_a_picture_turned_by_exif_equals_its_upright_twin(format: str, orientation: int, saved: Any, blobs: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(blobs(1))
    turned = stored
    inverse = {"ROTATE_90": "ROTATE_270", "ROTATE_270": "ROTATE_90"}
    for step in ORIENTED[orientation]:
        turned = turned.transpose(Image.Transpose[inverse.get(step, step)])
    # JPEG blocks do not turn exactly: loss makes the twins differ a little.
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    found = decode(saved(stored, format, exif=exif, **options), side_px=512).astype(int)
    assert found.shape == (*turned.size[::-1], 3)
    assert np.abs(found - np.asarray(turned)[:, :, ::-1]).max() <= (8 if format == "JPEG" else 0)
    header = check(saved(stored, format, exif=exif), max_megapixels=1)
    assert header[1:] == (turned.size if format == "TIFF" else (96, 80))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_over_white(format: str, saved: Any) -> None:
    image = np.zeros((16, 24, 4), np.uint8)
    image[:, :8] = (200, 0, 0, 255)
    image[:, 8:16] = (200, 0, 0, 128)
    options = {"lossless": True} if format == "WEBP" else {}
    found = decode(saved(image, format, **options), side_px=512)
    assert found[8, [2, 10, 20]].tolist() == [[0, 0, 200], [127, 127, 227], [255, 255, 255]]


def test_a_transparent_palette_lies_over_white(saved: Any) -> None:
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.paste(0, (0, 0, 8, 16))
    found = decode(saved(picture, "PNG", transparency=0), side_px=512)
    assert found[4, [4, 12]].tolist() == [[255, 255, 255], [60, 50, 40]]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_upper_eight(format: str, saved: Any) -> None:
    grey = (np.arange(256, dtype=np.uint16).reshape(16, 16) << 8) + 77
    assert np.array_equal(decode(saved(grey, format), side_px=512)[:, :, 1].ravel(), np.arange(256))


def test_sixteen_bits_of_colour_keep_their_upper_eight() -> None:
    colour = np.zeros((16, 16, 3), np.uint16)
    colour[...] = (0x1234, 0x8000, 0xFFFF)
    data = cv2.imencode(".png", colour)[1].tobytes()
    check(data, max_megapixels=1)
    assert decode(data, side_px=512)[3, 3].tolist() == [0x12, 0x80, 0xFF]


def test_thirty_two_bits_are_refused(saved: Any) -> None:
    assert verdict(saved(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16), "TIFF")) == "32 bits a channel: save it with 8 or 16"


def test_cmyk_shows_its_colour(saved: Any, blobs: Any) -> None:
    red = saved(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), quality=95)
    assert check(red, max_megapixels=1) == Header("JPEG", 32, 32)
    assert decode(red, side_px=512)[16, 16].tolist() == pytest.approx([0, 0, 255], abs=5)
    mixed = saved(Image.merge("CMYK", Image.fromarray(blobs(1)).convert("RGBA").split()))
    assert np.array_equal(decode(mixed, side_px=512)[:, :, ::-1], Image.open(io.BytesIO(mixed)).convert("RGB"))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_grey_and_one_bit_pictures_get_three_equal_channels(format: str, saved: Any) -> None:
    for mode in ("L", "1"):
        data = saved(Image.new(mode, (32, 24), 1 if mode == "1" else 130), format)
        check(data, max_megapixels=1)
        assert np.unique(decode(data, side_px=512)).tolist() == [255 if mode == "1" else 130]


@pytest.mark.parametrize("format", ["GIF", "WEBP"])
def test_an_animation_shows_its_first_frame(format: str, saved: Any) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:])
    assert check(data, max_megapixels=1) == Header(format, 32, 32)
    assert decode(data, side_px=512)[16, 16].tolist() == pytest.approx([0, 0, 255], abs=2)


@pytest.mark.parametrize(("side_px", "shape"), [(1000, (300, 400, 3)), (400, (300, 400, 3)), (200, (150, 200, 3)), (37, (28, 37, 3))])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_large_picture_is_reduced_to_its_longest_side_and_a_small_one_kept(
    format: str, side_px: int, shape: tuple[int, ...], saved: Any, blobs: Any
) -> None:
    assert decode(saved(blobs(1, width=400, height=300), format), side_px=side_px).shape == shape


def test_a_photograph_reduced_while_decoding_looks_like_one_reduced_afterwards(saved: Any, blobs: Any) -> None:
    photograph = cv2.resize(blobs(1), (1600, 1200), interpolation=cv2.INTER_CUBIC)
    data = saved(photograph, quality=95)
    found = decode(data, side_px=150)
    expected = cv2.resize(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), (150, 112), interpolation=cv2.INTER_AREA)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 2


def test_a_picture_of_extreme_length_keeps_at_least_one_pixel(saved: Any) -> None:
    assert decode(saved(Image.new("RGB", (4000, 8))), side_px=100).shape == (1, 100, 3)


def test_a_progressive_jpeg_is_like_any_other(saved: Any, blobs: Any) -> None:
    plain, progressive = (saved(blobs(1), quality=90, progressive=flag) for flag in (False, True))
    assert plain != progressive
    check(progressive, max_megapixels=1)
    assert np.array_equal(decode(plain, side_px=512), decode(progressive, side_px=512))


def test_a_file_is_read_by_what_it_is_not_by_a_name(saved: Any, blobs: Any) -> None:
    assert Image.open(io.BytesIO(saved(blobs(1), "PNG"))).format == check(saved(blobs(1), "PNG"), max_megapixels=1).format
