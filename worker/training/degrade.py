"""Make good face crops bad, the way cameras do: light, blur, resolution, noise, compression, occlusion, jitter.

A ``Condition`` holds the physical parameters of one frame; ``drift`` lets them change from frame to frame as
they do in a moving scene (first-order autoregression), so that a sequence from one still looks like a burst.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from worker.stages.align import CROP_SIZE
from worker.types import Float32, Image


@dataclass(frozen=True, slots=True)
class Condition:
    """What happens to one 112×112 crop. Lengths in pixels of the crop, angles in degrees."""

    severity: float = 0.0  # 0…1, what the parameters were drawn for
    rotation: float = 0.0
    zoom: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    gamma: float = 1.0
    gain: float = 1.0
    light_angle: float = 0.0
    light_slope: float = 0.0  # relative brightness at the edge that the light comes from
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    motion_length: float = 0.0
    motion_angle: float = 0.0
    focus_sigma: float = 0.0
    resolution: float = float(CROP_SIZE)  # side that the face would have had on the sensor
    noise_sigma: float = 0.0  # grey levels, at sensor resolution
    jpeg_quality: int = 95
    occlusion_xywh: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    occlusion_grey: float = 0.0


def draw(severity: float, rng: np.random.Generator) -> Condition:
    """Independent parameters whose spread grows with ``severity`` (0…1)."""
    s = severity
    lit = rng.random() < 0.2 + 0.7 * s
    blurred = rng.random() < 0.8 * s
    focus = rng.random() < 0.3 * s
    occluded = rng.random() < 0.25 * s
    return Condition(
        severity=s,
        rotation=rng.normal(0, 1 + 3 * s),
        zoom=1 + rng.normal(0, 0.01 + 0.04 * s),
        shift_x=rng.normal(0, 0.5 + 2 * s),
        shift_y=rng.normal(0, 0.5 + 2 * s),
        gamma=float(np.exp(rng.normal(0, 0.5 * s))) if lit else 1.0,
        gain=float(np.exp(rng.normal(0, 0.3 * s))) if lit else 1.0,
        light_angle=rng.uniform(0, 360),
        light_slope=rng.uniform(0, 0.9) * s if lit else 0.0,
        tint=_tint(rng, 0.08 * s if lit else 0.0),
        motion_length=rng.uniform(0, 15) * s if blurred else 0.0,
        motion_angle=rng.uniform(0, 180),
        focus_sigma=rng.uniform(0.3, 2.5) * s if focus else 0.0,
        resolution=float(np.clip(CROP_SIZE * np.exp(-rng.exponential(0.9) * 1.6 * s), 14, CROP_SIZE)),
        noise_sigma=12 * s * rng.random(),
        jpeg_quality=int(95 - 70 * s * rng.random()),
        occlusion_xywh=_box(rng) if occluded else (0.0, 0.0, 0.0, 0.0),
        occlusion_grey=rng.uniform(0, 255),
    )


def drift(first: Condition, rng: np.random.Generator, num_frames: int) -> list[Condition]:
    """``num_frames`` conditions that begin near ``first``: light and resolution change slowly, blur comes and goes."""
    frames: list[Condition] = []
    offset, current = 0.0, first
    for _ in range(num_frames):
        offset = 0.7 * offset + rng.normal(0, 0.15)
        fresh = draw(float(np.clip(first.severity + offset, 0, 1)), rng)
        moved = rng.random() < 0.25
        x, y, w, h = fresh.occlusion_xywh if moved else current.occlusion_xywh
        current = replace(
            current,
            severity=fresh.severity,
            rotation=0.7 * current.rotation + 0.5 * fresh.rotation,
            zoom=1 + 0.7 * (current.zoom - 1) + 0.5 * (fresh.zoom - 1),
            shift_x=0.7 * current.shift_x + 0.5 * fresh.shift_x,
            shift_y=0.7 * current.shift_y + 0.5 * fresh.shift_y,
            light_angle=current.light_angle + rng.normal(0, 9),
            light_slope=current.light_slope * (1 + rng.normal(0, 0.1)),
            gain=current.gain * float(np.exp(rng.normal(0, 0.05))),
            motion_length=fresh.motion_length,
            motion_angle=current.motion_angle + rng.normal(0, 20),
            focus_sigma=0.7 * current.focus_sigma + 0.3 * fresh.focus_sigma,
            resolution=float(np.clip(current.resolution * np.exp(rng.normal(0, 0.12)), 14, CROP_SIZE)),
            occlusion_xywh=(x + rng.normal(0, 4), y, w, h),
        )
        frames.append(current)
    return frames


def apply(crop_bgr: Image, condition: Condition, rng: np.random.Generator) -> Image:
    """The crop uint8 [112, 112, 3] as a camera under ``condition`` would have seen it; ``rng`` draws the noise."""
    pixels = _jitter(crop_bgr.astype(np.float32), condition)
    pixels = _light(pixels, condition)
    pixels = _blur(pixels, condition)
    pixels = _sensor(pixels, condition, rng)
    x, y, w, h = (int(v) for v in condition.occlusion_xywh)
    if w > 0 and h > 0:
        pixels[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = condition.occlusion_grey
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _jitter(pixels: Float32, c: Condition) -> Float32:
    matrix = cv2.getRotationMatrix2D((CROP_SIZE / 2, CROP_SIZE / 2), c.rotation, c.zoom)
    matrix[:, 2] += (c.shift_x, c.shift_y)
    return cv2.warpAffine(pixels, matrix, (CROP_SIZE, CROP_SIZE), borderMode=cv2.BORDER_REFLECT)


def _light(pixels: Float32, c: Condition) -> Float32:
    axis = np.linspace(-1, 1, CROP_SIZE, dtype=np.float32)
    angle = np.radians(c.light_angle)
    slope = c.light_slope * (np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None])
    lit = 255 * (np.clip(pixels, 0, 255) / 255) ** np.float32(c.gamma) * np.float32(c.gain)
    return lit * (1 + slope.astype(np.float32))[..., None] * np.array(c.tint, np.float32)


def _blur(pixels: Float32, c: Condition) -> Float32:
    size = int(1 + c.motion_length) | 1
    if size > 1:
        kernel = np.zeros((size, size), np.float32)
        kernel[size // 2] = 1
        turn = cv2.getRotationMatrix2D((size / 2 - 0.5, size / 2 - 0.5), c.motion_angle, 1)
        kernel = cv2.warpAffine(kernel, turn, (size, size))
        pixels = cv2.filter2D(pixels, -1, kernel / (kernel.sum() + 1e-6))
    if c.focus_sigma > 0.2:
        pixels = cv2.GaussianBlur(pixels, (0, 0), c.focus_sigma)
    return pixels


def _sensor(pixels: Float32, c: Condition, rng: np.random.Generator) -> Float32:
    side = int(c.resolution)
    if side < CROP_SIZE:
        pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(c.noise_sigma)
    sensed = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", sensed, [cv2.IMWRITE_JPEG_QUALITY, int(np.clip(c.jpeg_quality, 20, 95))])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    if side < CROP_SIZE:
        decoded = cv2.resize(decoded, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)
    return decoded.astype(np.float32)


def _tint(rng: np.random.Generator, spread: float) -> tuple[float, float, float]:
    blue, green, red = np.exp(rng.normal(0, 1, 3) * spread)
    return float(blue), float(green), float(red)


def _box(rng: np.random.Generator) -> tuple[float, float, float, float]:
    height, width = rng.integers(20, 56), rng.integers(20, 52)
    return float(rng.integers(0, 60)), float(rng.integers(0, CROP_SIZE - height)), float(width), float(height)
