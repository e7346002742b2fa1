"""Decoding: pixels against Pillow and numpy, bounds against files made to break them."""

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from worker.errors import BadMessage
from worker.stages.decode import DecodeOptions, decode

OPTIONS = DecodeOptions()
FORMATS = ("JPEG", "PNG", "WEBP")
JPEG_TOLERANCE = 2  # grey levels: OpenCV and Pillow may carry different builds of libjpeg
SEED = np.random.default_rng(20250101)
# Blocks of one colour, unequal in every direction, so that JPEG keeps them and no orientation looks like another.
PICTURE_RGB = np.kron(SEED.integers(0, 256, (5, 7, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
WHITE = (255, 255, 255, 255)


def encode(picture, kind, **options):
    """Bytes of a picture (array or Pillow image) by Pillow, lossless where the format can."""
    best = {"JPEG": {"quality": 95, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}[kind]
    file = io.BytesIO()
    image = picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(picture)
    image.save(file, kind, **best | options)
    return file.getvalue()


def with_orientation(orientation):
    """EXIF that holds nothing but an orientation."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return exif


def by_pillow(value):
    """Reference pixels in BGR: upright, over white."""
    image = ImageOps.exif_transpose(Pillow.open(io.BytesIO(value))).convert("RGBA")
    flat = Pillow.alpha_composite(Pillow.new("RGBA", image.size, WHITE), image)
    return np.array(flat.convert("RGB"))[:, :, ::-1]


def chunk(kind, data):
    """A PNG chunk with its check sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data, depth=8, color=2, extra=b""):
    """A PNG by hand, with whatever pixel data."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def refusal(value, options=OPTIONS):
    """The reason for which bytes are refused."""
    with pytest.raises(BadMessage) as caught:
        decode(value, options)
    assert caught.value.stage == "decode"
    return caught.value.reason


def outcome(value):
    """A reason, or ``processed`` after a check of what the contract promises."""
    try:
        image = decode(value, OPTIONS)
    except BadMessage as error:
        return error.reason
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert image.flags.c_contiguous and image.flags.writeable and min(image.shape[:2]) >= OPTIONS.min_side_pixels
    return "processed"


def assert_close(image_bgr, reference_bgr, tolerance):
    """Same shape and no sample further off than ``tolerance`` grey levels."""
    assert image_bgr.shape == reference_bgr.shape
    assert image_bgr.dtype == np.uint8 and image_bgr.flags.c_contiguous
    assert np.abs(image_bgr.astype(int) - reference_bgr).max() <= tolerance


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_applied(kind, orientation):
    """All eight orientations come out upright in all formats; 0 and 9 are invalid and change nothing."""
    value = encode(PICTURE_RGB, kind, exif=with_orientation(orientation))
    assert_close(decode(value, OPTIONS), by_pillow(value), JPEG_TOLERANCE if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_with_alpha(kind, orientation):
    """OpenCV leaves orientation out where it keeps alpha; it must not matter. Rounding may differ by one."""
    rgba = np.dstack([PICTURE_RGB, PICTURE_RGB[:, ::-1, 0]])
    value = encode(rgba, kind, exif=with_orientation(orientation), exact=True)
    assert_close(decode(value, OPTIONS), by_pillow(value), 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_exif(order):
    """A little- and a big-endian EXIF block say the same."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHIHH", 0x0100, 3, 1, 7, 0) + struct.pack(order + "HHIHH", 0x0112, 3, 1, 6, 0)
    exif = chunk(b"eXIf", mark + struct.pack(order + "IH", 8, 2) + entries + bytes(4))
    rows = np.insert(PICTURE_RGB.reshape(80, -1), 0, 0, axis=1).tobytes()
    upright = np.rot90(PICTURE_RGB, -1)[:, :, ::-1]
    assert_close(decode(png(112, 80, zlib.compress(rows), extra=exif), OPTIONS), upright, 0)


@pytest.mark.parametrize("exif", [b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"junk" * 9, b""])
def test_unreadable_exif_counts_as_none(exif):
    """Damaged EXIF never costs the picture."""
    rows = np.insert(PICTURE_RGB.reshape(80, -1), 0, 0, axis=1).tobytes()
    value = png(112, 80, zlib.compress(rows), extra=chunk(b"eXIf", exif))
    assert_close(decode(value, OPTIONS), PICTURE_RGB[:, :, ::-1], 0)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    + [("JPEG", "L"), ("JPEG", "RGB"), ("WEBP", "L"), ("WEBP", "RGB"), ("WEBP", "RGBA")],
)
def test_modes_match_pillow(kind, mode):
    """Bits, grey, palettes and alpha become BGR; lossless formats match but for rounding of alpha."""
    value = encode(Pillow.fromarray(np.dstack([PICTURE_RGB, PICTURE_RGB[:, :, 0]])).convert(mode), kind)
    assert_close(decode(value, OPTIONS), by_pillow(value), JPEG_TOLERANCE if kind == "JPEG" else 1)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_depths_use_the_whole_range(bits):
    """The largest sample of a 1-, 2- or 4-bit grey PNG is white."""
    row = b"\0" + bytes([0xF0] * (32 * bits // 8))
    image = decode(png(32, 32, zlib.compress(row * 32), depth=bits, color=0), OPTIONS)
    assert set(np.unique(image)) == {0, 255}


def test_transparent_palette_and_key_color():
    """TRNS is alpha too: of one palette entry, and of one RGB colour."""
    palette = Pillow.fromarray(PICTURE_RGB).quantize(8)
    keyed = encode(PICTURE_RGB, "PNG", transparency=tuple(int(sample) for sample in PICTURE_RGB[0, 0]))
    for value in (encode(palette, "PNG", transparency=3), keyed):
        assert_close(decode(value, OPTIONS), by_pillow(value), 1)
    assert decode(keyed, OPTIONS)[0, 0].tolist() == [255, 255, 255]


def test_hidden_colors_become_white():
    """What lies below transparent pixels doesn't show."""
    rgba = np.dstack([PICTURE_RGB, np.zeros((80, 112), np.uint8)])
    assert decode(encode(rgba, "PNG"), OPTIONS).min() == 255


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_are_scaled_not_cut(channels):
    """Every 16-bit value becomes round(v / 257), exactly."""
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = np.dstack([samples, samples.T, samples[::-1], np.full_like(samples, 65535)][:channels])
    value = cv2.imencode(".png", image)[1].tobytes()
    scaled = np.round(image[:, :, :3] / 257).astype(np.uint8)
    assert_close(decode(value, OPTIONS), np.broadcast_to(scaled, (256, 256, 3)), 0)


def test_16_bit_grey_matches_pillow():
    """Pillow reads 16-bit grey whole: the same values, divided by 257."""
    samples = SEED.integers(0, 65536, (40, 50)).astype(np.uint16)
    value = encode(Pillow.fromarray(samples), "PNG")
    reference = np.round(np.array(Pillow.open(io.BytesIO(value))) / 257)
    assert_close(decode(value, OPTIONS), np.dstack([reference] * 3), 0)


def test_cmyk_and_progressive_jpeg():
    """CMYK is converted as Pillow does it; progressive scans change no pixel."""
    cmyk = encode(Pillow.fromarray(PICTURE_RGB).convert("CMYK"), "JPEG")
    assert_close(decode(cmyk, OPTIONS), by_pillow(cmyk), JPEG_TOLERANCE)
    progressive = encode(PICTURE_RGB, "JPEG", progressive=True)
    assert_close(decode(progressive, OPTIONS), by_pillow(encode(PICTURE_RGB, "JPEG")), JPEG_TOLERANCE)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_first_frame_of_an_animation(kind):
    """The first frame, at the size of the canvas."""
    frames = [Pillow.fromarray(np.full((40, 50, 3), level, np.uint8)) for level in (10, 100, 200)]
    value = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert_close(decode(value, OPTIONS), np.full((40, 50, 3), 10), 0)


def test_8k_frame():
    """A frame of 7680×4320 is within the default bounds."""
    value = cv2.imencode(".jpg", np.full((4320, 7680), 90, np.uint8))[1].tobytes()
    assert decode(value, OPTIONS).shape == (4320, 7680, 3)


def test_nothing_and_noise():
    """None, no bytes, text and other formats are refused by name."""
    noise = np.random.default_rng(1).bytes(30_000_000)
    assert refusal(None) == refusal(b"") == "empty"
    for value in (b'{"camera": "door"}', b"GIF89a", b"RIFF\x04\0\0\0WAVE", b"\0"):
        assert refusal(value) == "unsupported_format"
    assert refusal(noise) == "too_many_bytes"
    assert refusal(noise, DecodeOptions(max_bytes=40_000_000)) == "unsupported_format"


@pytest.mark.parametrize("magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWEBPVP8 "])
def test_noise_with_magic_bytes(magic):
    """30 MB of noise behind the right first bytes is refused too."""
    value = magic + np.random.default_rng(2).bytes(30_000_000)
    assert refusal(value, DecodeOptions(max_bytes=40_000_000)) != "too_many_bytes"


@pytest.mark.parametrize("kind", FORMATS)
def test_bounds_on_size(kind):
    """The smallest allowed side passes, one pixel less doesn't; the same for the number of pixels."""
    assert refusal(encode(PICTURE_RGB[:15], kind)) == refusal(encode(PICTURE_RGB[:, :15], kind)) == "too_small"
    assert decode(encode(PICTURE_RGB[:16, :16], kind), OPTIONS).shape == (16, 16, 3)
    value = encode(PICTURE_RGB, kind)
    assert decode(value, DecodeOptions(max_pixels=80 * 112)).shape == (80, 112, 3)
    assert refusal(value, DecodeOptions(max_pixels=80 * 112 - 1)) == "too_many_pixels"
    assert refusal(value, DecodeOptions(max_bytes=len(value) - 1)) == "too_many_bytes"


def header_bombs():
    """Small files that claim the most pixels that their format can (WebP VP8X: 2^24 a side)."""
    jpeg = encode(PICTURE_RGB, "JPEG")
    size = struct.pack(">HH", 80, 112)
    side = 16_777_215
    yield jpeg.replace(size, struct.pack(">HH", 60_000, 60_000), 1)
    yield png(60_000, 60_000, zlib.compress(bytes(1000)))
    yield b"RIFF" + struct.pack("<I", 26) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + side.to_bytes(3, "little") * 2
    yield b"RIFF" + struct.pack("<I", 18) + b"WEBPVP8L" + struct.pack("<IBI", 6, 0x2F, 0x0FFFFFFF) + b"\0"
    yield b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8 \x0a\0\0\0" + b"\0\0\0\x9d\x01\x2a" + b"\xff\x3f" * 2


@pytest.mark.parametrize("value", list(header_bombs()), ids=["jpeg", "png", "webp_vp8x", "webp_vp8l", "webp_vp8"])
def test_header_bombs_allocate_nothing(value):
    """Refused from the header: less than 64 KB is allocated, arrays of numpy and OpenCV included."""
    tracemalloc.start()
    try:
        reason = refusal(value)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason == "too_many_pixels"
    assert peak_bytes < 65_536


def test_bombs_that_cost_time():
    """Surplus pixel data, floods of chunks, segments and scans are refused; dropped chunks are never inflated."""
    pixels, surplus = zlib.compress(bytes(32 * 97)), zlib.compress(bytes(50_000_000))
    assert refusal(png(32, 32, surplus)) == "too_complex"
    assert refusal(png(32, 32, pixels, extra=chunk(b"abCd", b"") * 60_000)) == "too_complex"
    assert outcome(png(32, 32, pixels, extra=chunk(b"zTXt", b"a\0\0" + surplus) * 100)) == "processed"
    jpeg = encode(PICTURE_RGB, "JPEG", progressive=True)
    assert refusal(jpeg[:2] + b"\xff\xfe\x00\x02" * 2000 + jpeg[2:]) == "bad_header"
    last_scan = jpeg[jpeg.rfind(b"\xff\xda") : -2]
    assert refusal(jpeg[:-2] + last_scan * 64 + jpeg[-2:]) == "too_complex"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("options", [{}, {"progressive": True, "method": 6, "interlace": 1}])
def test_truncated_files_are_refused(kind, options):
    """Cut at every sixteenth of its length, a file is refused as truncated: no grey halves."""
    value = encode(PICTURE_RGB, kind, exif=with_orientation(1), **options)
    for sixteenths in range(1, 16):
        assert refusal(value[: len(value) * sixteenths // 16]) == "truncated"
    assert refusal(value[:-1]) == "truncated"


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_behind_the_end_are_ignored(kind):
    """Padding, and what phones append to a picture, doesn't matter."""
    value = encode(PICTURE_RGB, kind)
    assert np.array_equal(decode(value + bytes(999) + b"\xff\xda", OPTIONS), decode(value, OPTIONS))


def test_flipped_pixel_data():
    """A damaged PNG is corrupt; so is one whose data end early."""
    good = zlib.compress(bytes(32 * 97))
    assert refusal(png(32, 32, good[:5] + b"\xff\xff" + good[7:])) == "corrupt"
    assert refusal(png(32, 32, zlib.compress(bytes(32 * 50)))) == "corrupt"
    assert refusal(png(32, 32, good).replace(b"IDAT", b"IDAX")) == "corrupt"


def test_errors_of_opencv_are_refusals(monkeypatch):
    """OpenCV raises on rare files instead of answering None: corrupt all the same."""

    def fail(*_):
        raise cv2.error("OpenCV: error:\n(-215:Assertion failed)")

    monkeypatch.setattr(cv2, "imdecode", fail)
    assert refusal(encode(PICTURE_RGB, "JPEG")) == "corrupt"


MAGICS = (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8X", b"RIFF\x40\0\0\0WEBPVP8L")
VALID = [encode(PICTURE_RGB[:32, :48], kind, exif=with_orientation(6)) for kind in FORMATS] + [
    encode(PICTURE_RGB[:32, :48], "JPEG", progressive=True),
    encode(Pillow.fromarray(PICTURE_RGB[:32, :48]).convert("RGBA"), "WEBP", lossless=False),
    encode(Pillow.fromarray(PICTURE_RGB[:32, :48]).quantize(8), "PNG", transparency=1),
]
FUZZ = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@FUZZ
@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_any_bytes(magic, rest):
    """Random bytes are decoded or refused, and nothing else happens."""
    outcome(magic + rest)


@FUZZ
@given(st.sampled_from(VALID), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4)), max_size=5))
def test_mutated_files(value, patches):
    """Valid files with bytes overwritten or lost are decoded or refused, and nothing else happens."""
    for place, patch in patches:
        start = int(place * len(value))
        value = value[:start] + patch + value[start + max(1, len(patch)) :]
    outcome(value)
