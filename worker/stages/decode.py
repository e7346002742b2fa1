"""Turn the bytes of a message into pixels, or refuse them with a reason; nothing else can happen.

JPEG, PNG and WebP are told by their first bytes, whatever a header of the message says. Everything that costs
memory or time is bounded from the file's own header before a pixel is decoded. What OpenCV leaves open is
settled here, the same for every format:

- EXIF orientation is applied (JPEG APP1, PNG ``eXIf``, WebP ``EXIF``); an invalid one counts as none.
- Alpha is laid over white, since colours below transparent pixels are arbitrary.
- 16-bit samples become ``round(v / 257)``, not the high byte.
- Animations: WebP gives its first frame, PNG its default image (ancillary chunks are dropped unread).
- A file that stops early is refused as ``truncated``: OpenCV would fill the rest with grey, and half a face
  is worse evidence than none. Flipped bits inside the coded data can't be seen in a JPEG: what libjpeg makes
  of them is processed.

Reasons: ``empty``, ``too_many_bytes``, ``unsupported_format``, ``bad_header``, ``truncated``,
``too_many_pixels``, ``too_small``, ``too_complex``, ``corrupt``.

libjpeg and libpng write up to a few lines per bad file to stderr. They can't be told otherwise from Python;
OpenCV's own lines can, by ``cv2.utils.logging.setLogLevel`` where the process starts.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, NoReturn

import cv2
import numpy as np
from annotated_types import Ge

from worker.errors import BadMessage, Refusal
from worker.types import Image

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_MAX_JPEG_SEGMENTS = 1_000  # before the first scan; ICC profiles and maker notes need some hundreds at most
_MAX_CHUNKS = 50_000  # PNG, WebP: 20 MB in pieces of 400 bytes
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_KEPT_PNG_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT"))
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type, PNG specification 11.2.1
_INFLATE_BYTES = 16_384  # fed at a time; deflate expands it to 17 MB at most
_BAND_ROWS = 64  # keeps 16-bit intermediates small
_ORIENTATION_TAG = 0x0112  # EXIF 2.32, 4.6.4
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # orientation → cv2.flip, after transposing where it is 5…8


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """What an image may cost. Peak bytes per pixel: JPEG 6, progressive 9; WebP 13; PNG 6, 16-bit with alpha 16."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    max_bytes: Annotated[int, Ge(1)] = 20_000_000
    max_pixels: Annotated[int, Ge(1)] = 40_000_000
    min_side_pixels: Annotated[int, Ge(1)] = 16
    max_scans: Annotated[int, Ge(1)] = 64  # of a progressive JPEG, each a pass over all pixels; encoders write about 10


def decode(value: bytes | None, options: DecodeOptions) -> Image:
    """The image in ``value`` as uint8 [H, W, 3] in BGR, contiguous and owned by the caller.

    Raises BadMessage with a stable reason, and nothing else, whatever the bytes.
    """
    if not value:
        _refuse("empty", "message has no bytes: expected a JPEG, PNG or WebP image")
    if len(value) > options.max_bytes:
        _refuse("too_many_bytes", f"image has {len(value)} bytes, at most {options.max_bytes} are allowed: send less")
    try:
        if value.startswith(_JPEG):
            return _decode_jpeg(value, options)
        if value.startswith(_PNG):
            return _decode_png(value, options)
        if value.startswith(b"RIFF") and value[8:12] == b"WEBP":
            return _decode_webp(value, options)
    except (IndexError, struct.error):
        raise _bad("truncated", "image ends inside its header: send whole files") from None
    raise _bad("unsupported_format", f"bytes start with {value[:12].hex()}: expected a JPEG, PNG or WebP image")


def _bad(reason: Refusal, message: str) -> BadMessage:
    return BadMessage(reason, message, stage="decode")


def _refuse(reason: Refusal, message: str) -> NoReturn:
    raise _bad(reason, message)


def _check_size(width: int, height: int, options: DecodeOptions) -> None:
    """Refuse sizes in pixels that are out of bounds, as the header claims them."""
    if width * height > options.max_pixels:
        _refuse("too_many_pixels", f"image is {width}×{height}, at most {options.max_pixels} pixels are allowed")
    if min(width, height) < options.min_side_pixels:
        _refuse("too_small", f"image is {width}×{height}, at least {options.min_side_pixels} pixels a side are needed")


def _imdecode(value: bytes, flags: int, width: int, height: int) -> Image:
    """OpenCV's pixels, layout and depth by ``flags``; refuses those of another size than the header claimed."""
    try:
        image = cv2.imdecode(np.frombuffer(value, np.uint8), flags)
    except cv2.error as error:
        raise _bad("corrupt", f"image can't be decoded: {' '.join(str(error).split())}") from None
    if image is None:
        _refuse("corrupt", "image can't be decoded, its data are damaged: send a valid file")
    if sorted(image.shape[:2]) != sorted((width, height)):
        _refuse("corrupt", f"image claims {width}×{height} and decodes as {image.shape[1]}×{image.shape[0]}")
    return image  # uint16 from IMREAD_UNCHANGED; _finish makes it uint8


# JPEG


@dataclass(frozen=True, slots=True)
class _JpegHeader:
    width: int  # pixels as stored, before orientation
    height: int
    scan_start: int  # byte at which the first scan's header begins
    many_scans: bool  # whether the decoder goes on after the first scan


def _decode_jpeg(value: bytes, options: DecodeOptions) -> Image:
    header = _read_jpeg_header(value)
    _check_size(header.width, header.height, options)
    if header.many_scans and value.count(b"\xff\xda", header.scan_start) >= options.max_scans:
        _refuse("too_complex", f"JPEG has more than {options.max_scans} scans: send it as a baseline JPEG")
    if value.rfind(b"\xff\xd9", header.scan_start) < 0:
        _refuse("truncated", "JPEG has no end marker: send whole files")
    return np.ascontiguousarray(_imdecode(value, cv2.IMREAD_COLOR, header.width, header.height))


def _read_jpeg_header(value: bytes) -> _JpegHeader:
    """Size and kind of scans from the frame and the first scan (ITU-T T.81, B.2.2 and B.2.3)."""
    frame, frame_marker = None, 0
    for marker, start in _jpeg_segments(value):
        if marker == 0xDA and frame:
            height, width, num_components = frame
            many_scans = frame_marker in _JPEG_PROGRESSIVE or value[start + 2] < num_components
            return _JpegHeader(width, height, start, many_scans)
        if marker in _JPEG_FRAMES and not frame:
            frame, frame_marker = struct.unpack_from(">HHB", value, start + 3), marker
        elif marker in _JPEG_FRAMES or marker in (0xD8, 0xD9, 0xDA):
            break
    _refuse("bad_header", "JPEG has no readable frame before its first scan: send a valid file")


def _jpeg_segments(value: bytes) -> Iterator[tuple[int, int]]:
    """Marker of each segment and where its length stands, skipping stray bytes between them as libjpeg does."""
    position = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        position = value.find(b"\xff", position)
        if position < 0:
            _refuse("truncated", "JPEG ends before its first scan: send whole files")
        marker = value[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD7:  # no length follows
            position += 2
        else:
            yield marker, position + 2
            position += 2 + max(2, int.from_bytes(value[position + 2 : position + 4]))


# PNG


def _decode_png(value: bytes, options: DecodeOptions) -> Image:
    length, kind, width, height, depth, color = struct.unpack_from(">I4sIIBB", value, 8)
    if length != 13 or kind != b"IHDR" or color not in _PNG_CHANNELS or depth not in (1, 2, 4, 8, 16):
        _refuse("bad_header", "PNG doesn't begin with a valid IHDR chunk: send a valid file")
    _check_size(width, height, options)
    chunks = list(_png_chunks(value))
    row_bytes = 1 + -(-width * depth * _PNG_CHANNELS[color] // 8)
    # Adam7 needs less than twice the bytes of plain rows.
    _check_inflated((value[start:end] for kind, start, end in chunks if kind == b"IDAT"), 2 * height * row_bytes + 64)
    kept = (value[start - 8 : end + 4] for kind, start, end in chunks if kind in _KEPT_PNG_CHUNKS)
    image = _imdecode(b"".join((_PNG, *kept, _PNG_END)), cv2.IMREAD_UNCHANGED, width, height)
    exif = next((value[start:end] for kind, start, end in chunks if kind == b"eXIf"), b"")
    return _finish(image, exif)


def _png_chunks(value: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the data of each chunk before IEND, bytes from the start of the file."""
    position = len(_PNG)
    for _ in range(_MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", value, position)
        start, end = position + 8, position + 8 + length
        if end + 4 > len(value):
            _refuse("truncated", "PNG ends inside a chunk: send whole files")
        if kind == b"IEND":
            return
        yield kind, start, end
        position = end + 4
    _refuse("too_complex", f"PNG has more than {_MAX_CHUNKS} chunks: send a valid file")


def _check_inflated(parts: Iterable[bytes], max_inflated_bytes: int) -> None:
    """Refuse pixel data that inflate to more than the image can hold.

    libpng inflates such a surplus to its end: 20 MB of it cost 40 s. Costs one more inflation of an honest PNG.
    """
    inflater, size = zlib.decompressobj(), 0
    pieces = (part[at : at + _INFLATE_BYTES] for part in parts for at in range(0, len(part), _INFLATE_BYTES))
    try:
        for piece in pieces:
            size += len(inflater.decompress(piece, max_inflated_bytes - size + 1))
            if size > max_inflated_bytes:
                _refuse("too_complex", "PNG inflates to more than twice the bytes that its size needs: encode it anew")
    except zlib.error:
        raise _bad("corrupt", "PNG pixel data can't be inflated: send a valid file") from None


# WebP


def _decode_webp(value: bytes, options: DecodeOptions) -> Image:
    width, height = _read_webp_size(value)
    _check_size(width, height, options)
    if int.from_bytes(value[4:8], "little") + 8 > len(value):
        _refuse("truncated", "WebP is shorter than its header says: send whole files")
    image = _imdecode(value, cv2.IMREAD_UNCHANGED, width, height)
    return _finish(image, _webp_exif(value))


def _read_webp_size(value: bytes) -> tuple[int, int]:
    """Width and height in pixels from the first chunk (RFC 9649, 2.5–2.7)."""
    kind = value[12:16]
    if kind == b"VP8X":
        width, width_high, height, height_high = struct.unpack_from("<HBHB", value, 24)
        return 1 + width + (width_high << 16), 1 + height + (height_high << 16)
    if kind == b"VP8L" and value[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", value, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        start_code, width, height = struct.unpack_from("<3sHH", value, 23)
        if start_code == b"\x9d\x01\x2a":
            return width & 0x3FFF, height & 0x3FFF
    _refuse("bad_header", "WebP doesn't begin with a valid VP8, VP8L or VP8X chunk: send a valid file")


def _webp_exif(value: bytes) -> bytes:
    """The EXIF chunk's data; empty where there is none."""
    position = 12
    for _ in range(_MAX_CHUNKS):
        kind, length = value[position : position + 4], int.from_bytes(value[position + 4 : position + 8], "little")
        if kind == b"EXIF":
            return value[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
        if position >= len(value):
            break
    return b""


# PNG and WebP as OpenCV leaves them → BGR


def _finish(image: Image, exif: bytes) -> Image:
    """Grey, BGR or BGRA of 8 or 16 bits → upright uint8 [H, W, 3], contiguous."""
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / 65535)  # rounds to nearest
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    elif image.shape[2] == 4:
        image = _over_white(image)
    return _upright(image, _orientation(exif))


def _over_white(image_bgra: Image) -> Image:
    """uint8 [H, W, 4] → [H, W, 3]: (colour · alpha + 255 · (255 − alpha)) / 255, rounded to nearest."""
    image_bgr = np.empty((*image_bgra.shape[:2], 3), np.uint8)
    for top in range(0, len(image_bgra), _BAND_ROWS):
        band = image_bgra[top : top + _BAND_ROWS]
        alpha = band[:, :, 3:].astype(np.uint16)
        white = 255 * (255 - alpha) + 127  # at most 65152 in sum with colour · alpha: no overflow
        image_bgr[top : top + _BAND_ROWS] = (band[:, :, :3] * alpha + white) // 255
    return image_bgr


def _orientation(exif: bytes) -> int:
    """Orientation 1…8 from a TIFF structure (EXIF 2.32, 4.6.2), with or without its prefix; 1 if unreadable."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (num_entries,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(num_entries):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG:
                return int(value) if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _upright(image: Image, orientation: int) -> Image:
    """Turn and mirror ``image`` so that its orientation becomes 1."""
    if orientation >= 5:
        image = cv2.transpose(image)
    if orientation in _FLIPS:
        image = cv2.flip(image, _FLIPS[orientation])
    return np.ascontiguousarray(image)
