"""The demo's two cameras.

``car`` plays a real sequence of a man who talks and turns in a moving car, twice; the second time the light is dimmed
by code. ``door`` is made: two portraits glide in front of a wall, in changing light, through blur, past each other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from worker.demo.footage import CARPHONE, COLLINS, HOPPER
from worker.sources import SourceFrame, encode_jpeg
from worker.types import MICROSECONDS, Float32, Image

FPS = 15
WIDTH, HEIGHT = 704, 576
CAR_AGAIN_SECONDS = 6.0
SECONDS = 12.0

NOTES = (
    f"Camera car: {CARPHONE.origin}. Real motion, enlarged four times; every second frame is shown, at its real speed. "
    "The first visit is as filmed; in the second one our code dims and tints the light. The man was enrolled from "
    "three of the clip's first ten frames, so his photos and his visits come from one recording.",
    f"Camera door: made by our code from two portraits ({COLLINS.shows}: {COLLINS.origin}; {HOPPER.shows}: "
    f"{HOPPER.origin}). Motion, light, blur and noise are made. Eileen Collins is matched with the very portrait that "
    "enrolled her, degraded; Grace Hopper is not enrolled and must stay a stranger.",
)


def enrolment_photos() -> dict[str, list[bytes]]:
    """JPEG photos by person id: Collins' portrait, and three early frames of the Carphone clip."""
    early = list(islice(CARPHONE.frames(), 10))
    return {
        "eileen_collins": [encode_jpeg(COLLINS.image())],
        "carphone_man": [encode_jpeg(_enlarged(frame)) for frame in (early[0], early[4], early[9])],
    }


def car_frames() -> Iterator[SourceFrame]:
    """The clip in full light, then again in a dimmer one."""
    frames = [_enlarged(frame) for frame in CARPHONE.frames()][::2]
    for number, frame in enumerate(frames):
        yield _coded(frame, number / FPS)
    for number, frame in enumerate(frames):
        seconds = CAR_AGAIN_SECONDS + number / FPS
        yield _coded(_dimmed(frame, number / len(frames)), seconds)


def door_frames() -> Iterator[SourceFrame]:
    """Two portraits come, cross and go."""
    rng = np.random.default_rng(7)
    wall = _wall()
    actors = [
        _Actor(
            _cut(COLLINS.image(), (224, 115), 1.25), 0.0, 11.0, ((-0.15, 0.42), (0.3, 0.45), (0.78, 0.42), (1.2, 0.45))
        ),
        _Actor(
            _cut(HOPPER.image(), (257, 190), 0.85), 1.0, 12.0, ((1.2, 0.5), (0.72, 0.52), (0.25, 0.5), (-0.2, 0.52))
        ),
    ]
    for number in range(round(SECONDS * FPS)):
        seconds = number / FPS
        scene = wall.copy()
        for actor in actors:
            actor.draw(scene, seconds)
        yield _coded(_filmed(scene, seconds, rng), seconds)


def round_the_clock() -> dict[str, Iterator[SourceFrame]]:
    """Both cameras by name, frame after frame without a gap, equally long: to be played again and again.

    While the demo's ``car`` shows nothing, it is dark, so that the man departs.
    """
    return {"car": _without_gaps(car_frames()), "door": door_frames()}


def _without_gaps(frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
    dark = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    shown = {round(frame.since_start_us * FPS / MICROSECONDS): frame for frame in frames}
    for number in range(round(SECONDS * FPS)):
        yield shown.get(number) or _coded(dark, number / FPS)


@dataclass(frozen=True, slots=True)
class _Actor:
    """A cut-out [h, w, 4] that glides along waypoints (shares of the frame) between two times, in seconds."""

    cutout: Float32
    start: float
    end: float
    path: tuple[tuple[float, float], ...]

    def draw(self, scene: Float32, seconds: float) -> None:
        if not self.start <= seconds <= self.end:
            return
        at = (seconds - self.start) / (self.end - self.start) * (len(self.path) - 1)
        steps = np.arange(len(self.path))
        sway = 0.006 * np.sin(2.4 * seconds)
        x, y = (float(np.interp(at, steps, [p[axis] for p in self.path])) for axis in (0, 1))
        height, width = self.cutout.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 4 * np.sin(1.7 * seconds), 1 + 0.05 * np.sin(seconds))
        turn[:, 2] += (x * WIDTH - width / 2, (y + sway) * HEIGHT - height / 2)
        placed = cv2.warpAffine(self.cutout, turn, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        alpha = placed[..., 3:]
        scene[:] = scene * (1 - alpha) + placed[..., :3] * alpha


def _cut(portrait: Image, center_xy: tuple[int, int], scale: float) -> Float32:
    """Head and shoulders around a point of the portrait, with a soft oval edge; alpha is the fourth channel."""
    half_width, half_height = 110, 140
    if portrait.shape[0] > 550:
        half_width, half_height = 165, 210
    x, y = center_xy
    top, left = max(0, y - half_height), max(0, x - half_width)
    piece = portrait[top : y + half_height, left : x + half_width].astype(np.float32)
    height, width = piece.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    alpha = np.clip((1 - np.sqrt(columns**2 + rows**2)) * 7, 0, 1).astype(np.float32)
    cutout = np.dstack([piece, alpha])
    return cv2.resize(cutout, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _wall() -> Float32:
    rows, columns = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    shade = 150 - 60 * rows + 25 * np.cos(6 * columns)
    panel = 10 * ((columns * 8) % 1 < 0.03)
    return np.dstack([shade * 0.95 - panel, shade - panel, shade * 1.02 - panel]).astype(np.float32)


def _filmed(scene: Float32, seconds: float, rng: np.random.Generator) -> Image:
    """What a cheap camera makes of it: a lamp that swings, a blur that comes and goes, noise."""
    columns = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :, None]
    lamp = 1 + 0.35 * np.sin(0.9 * seconds) * columns
    dark = 0.62 if 4.0 < seconds < 5.2 else 1.0
    lit = scene * (lamp * dark).astype(np.float32)
    sigma = 3.2 * max(0.0, np.sin(1.1 * seconds)) ** 4
    if sigma > 0.3:
        lit = cv2.GaussianBlur(lit, (0, 0), sigma)
    noise = rng.normal(0, 5, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return np.clip(lit + noise, 0, 255).astype(np.uint8)


def _dimmed(frame: Image, progress: float) -> Image:
    """From evening light to near darkness and back."""
    gamma = 1 + 1.4 * np.sin(np.pi * progress)
    tint = np.array([0.95, 0.85, 0.75], np.float32)
    return np.clip(255 * (frame / np.float32(255)) ** np.float32(gamma) * tint, 0, 255).astype(np.uint8)


def _enlarged(frame: Image) -> Image:
    return cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def _coded(frame: Image, seconds: float) -> SourceFrame:
    return SourceFrame(encode_jpeg(frame, 90), "image/jpeg", round(seconds * MICROSECONDS))
