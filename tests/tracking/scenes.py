"""Scenes with exact truth: heads of real people moved over a canvas, entering, leaving, crossing, hidden.

Every head is an oval window cut from a real sequence (NUAA webcam, GRID talking), so faces turn, talk and blink
as they did; where it is pasted, how large and behind what is ours, so the truth is known exactly. **Truth** of a
person in a frame is the box that the detector finds on that person's *isolated* source window, carried through
the same translation and scale; it counts where at least ``MIN_VISIBLE`` of the head within that box can be seen.
The detector then runs on the composed frames as it would on a camera's.

Made: motion, size, depth order, occluders, motion blur, sensor noise, capture times. Real: faces, and their detections.
Development and held-out scenes share neither seeds nor people: see ``cast``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.engines.engine import Engine
from worker.stages.detect import DetectOptions, detect
from worker.types import MICROSECONDS, Faces, Float32, Image

Float64 = NDArray[np.float64]

WIDTH, HEIGHT = 640, 384
DURATION_SECONDS = 6.0
MIN_VISIBLE = 0.4
FRAMES_PER_SECOND = (5.0, 8.0, 12.0, 20.0, 30.0)
_EPOCH_US = 1_700_000_000 * MICROSECONDS
_SOURCE_FPS = 20.0  # GRID is 25 fps, NUAA is thinned; played to and fro
_HEAD = (1.7, 1.8)  # width and height of the window, in face widths and heights


@dataclass(frozen=True)
class Head:
    """One person's isolated windows."""

    name: str
    images_bgr: list[Image]
    masks: list[Float32]  # [h, w] in 0…1
    faces_xyxy: Float64  # [K, 4] the detector's box, pixels of the window


@dataclass(frozen=True)
class Actor:
    """A head on its way: waypoints (seconds, centre x, centre y, face size), all pixels but the first."""

    head: Head
    waypoints: Float64  # [P, 4]
    phase: float

    def at(self, seconds: float) -> tuple[float, float, float] | None:
        """Centre and size of the face, or None before it comes and after it has gone."""
        times = self.waypoints[:, 0]
        if not times[0] <= seconds <= times[-1]:
            return None
        window = np.linspace(-0.15, 0.15, 9) + seconds  # a mean over 0.3 s rounds the corners off
        x, y, size = (float(np.interp(window, times, self.waypoints[:, column]).mean()) for column in (1, 2, 3))
        sway = 0.05 * np.sin(2 * np.pi * (seconds + self.phase))
        bob = 0.06 * np.sin(4 * np.pi * (seconds + self.phase))
        return x + size * sway, y + size * bob, size


@dataclass(frozen=True)
class Scene:
    """What happens, and when the camera looks."""

    family: str
    seed: int
    frames_per_second: float
    exposure_seconds: float
    times_us: list[int]
    actors: list[Actor]  # far ones first
    pillars_xxyy: list[tuple[int, int, int, int]]  # in front of everybody
    background_bgr: Image


@dataclass(frozen=True)
class Frame:
    """One composed frame: its detections, and the truth."""

    time_us: int
    faces: Faces
    truth_ids: list[int]
    truth_xyxy: Float64  # [N, 4]


def cast(data: Path, engine: Engine, *, held_out: bool) -> list[Head]:
    """Development people or the held-out ones: every other person of each set, never one in both."""
    webcam = sorted(path for path in (data / "webcam").iterdir() if path.is_dir())
    talking = sorted(path for path in (data / "talking").iterdir() if path.suffix in (".mpg", ".mp4"))
    # pwij3p and id2_vcd_swwp2s show one speaker: only one of them is used.
    talking = [path for path in talking if path.stem != "pwij3p"]
    chosen = webcam[int(held_out) :: 2] + talking[int(held_out) :: 2]
    return [_cut_head(path, engine) for path in chosen]


def _cut_head(path: Path, engine: Engine) -> Head:
    images, masks, boxes = [], [], []
    for image in _read(path):
        faces = detect(image, engine, DetectOptions())
        if not len(faces):
            continue
        window, mask, box = _window(image, faces.boxes_xyxy[0].astype(np.float64))
        images.append(window)
        masks.append(mask)
        boxes.append(box)
    return Head(path.name, images, masks, np.array(boxes))


def _read(path: Path) -> Iterator[Image]:
    if path.is_dir():
        sequence = min(entry for entry in path.iterdir() if entry.is_dir())
        yield from (_must_read(file) for file in sorted(sequence.iterdir())[:40])
        return
    video = cv2.VideoCapture(str(path))
    for _ in range(40):
        success, image = video.read()
        if not success:
            return
        yield np.asarray(image, np.uint8)


def _must_read(file: Path) -> Image:
    image = cv2.imread(str(file))
    if image is None:
        raise ValueError(f"{file.name} is no image; check FACELINE_TEST_DATA")
    return np.asarray(image, np.uint8)


def _window(image_bgr: Image, box_xyxy: Float64) -> tuple[Image, Float32, Float64]:
    """The oval around a face, and the face's box in it."""
    center, size = (box_xyxy[:2] + box_xyxy[2:]) / 2, box_xyxy[2:] - box_xyxy[:2]
    half = size * _HEAD / 2
    low = np.maximum(0, center - half).astype(int)
    high = np.minimum(image_bgr.shape[1::-1], center + half).astype(int)
    window = image_bgr[low[1] : high[1], low[0] : high[0]]
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    radius = np.hypot((x - center[0]) / half[0], (y - center[1]) / half[1])
    return window, np.clip((1 - radius) * 12, 0, 1).astype(np.float32), box_xyxy - np.tile(low, 2)


def observe(scene: Scene, engine: Engine) -> list[Frame]:
    """Compose every frame and look at it with the detector."""
    frames = []
    for time_us in scene.times_us:
        image, ids, boxes = compose(scene, time_us)
        frames.append(Frame(time_us, detect(image, engine, DetectOptions()), ids, boxes))
    return frames


def compose(scene: Scene, time_us: int) -> tuple[Image, list[int], Float64]:
    """The picture at a time, who can be seen in it, and their boxes [N, 4]."""
    canvas = scene.background_bgr.astype(np.float32)
    owner = np.full((HEIGHT, WIDTH), -1, np.int16)
    boxes, totals = {}, {}
    for number, actor in enumerate(scene.actors):
        pasted = _paste(canvas, owner, actor, number, scene, time_us)
        if pasted is not None:
            boxes[number], totals[number] = pasted
    for left, right, top, bottom in scene.pillars_xxyy:
        canvas[top:bottom, left:right] = (60, 66, 72)
        owner[top:bottom, left:right] = len(scene.actors)
    visible = [n for n, box in boxes.items() if _count(owner == n, box) >= MIN_VISIBLE * totals[n]]
    image = np.clip(canvas + _noise(time_us), 0, 255).astype(np.uint8)
    return image, visible, np.array([boxes[n] for n in visible]).reshape(-1, 4)


@lru_cache(maxsize=1)
def _noise_field() -> Float32:
    return np.random.default_rng(1).normal(0, 3, (2 * HEIGHT, 2 * WIDTH, 3)).astype(np.float32)


def _noise(time_us: int) -> Float32:
    """Sensor noise of 3 grey levels: another part of one field for every frame."""
    top, left = np.random.default_rng(time_us).integers(0, (HEIGHT, WIDTH)).tolist()
    return _noise_field()[top : top + HEIGHT, left : left + WIDTH]


def _paste(
    canvas: Float32, owner: NDArray[np.int16], actor: Actor, number: int, scene: Scene, time_us: int
) -> tuple[Float64, float] | None:
    """Blend the head in; returns its face box on the canvas and how many pixels of head that box would hold."""
    seconds = (time_us - _EPOCH_US) / MICROSECONDS
    place, before = actor.at(seconds), actor.at(seconds - scene.exposure_seconds)
    if place is None:
        return None
    head, (x, y, size) = actor.head, place
    count = len(head.images_bgr)
    step = int((seconds + actor.phase) * _SOURCE_FPS) % (2 * count - 2)
    index = min(step, 2 * count - 2 - step)
    box = head.faces_xyxy[index]
    mean_size = float(np.sqrt(np.prod(head.faces_xyxy[:, 2:] - head.faces_xyxy[:, :2], axis=1)).mean())
    scale = size / mean_size
    # Centred by the window's middle face, so that the person's own motion within the window stays.
    shift = np.array([x, y]) - scale * (box[:2] + box[2:]) / 2
    small = np.asarray(
        cv2.resize(head.images_bgr[index], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
    )
    mask = np.asarray(cv2.resize(head.masks[index], small.shape[1::-1], interpolation=cv2.INTER_AREA), np.float32)
    travel = 0 if before is None else round(float(np.hypot(x - before[0], y - before[1])))
    if travel >= 2:
        small = np.asarray(cv2.blur(small, (travel, 1)), np.uint8)
    left, top = np.round(shift).astype(int).tolist()
    on_canvas = scale * box + np.tile(np.array([left, top], np.float64), 2)
    total = _count(mask > 0.5, scale * box)
    _blend(canvas, owner, small, mask, left, top, number)
    return on_canvas, total


def _blend(
    canvas: Float32, owner: NDArray[np.int16], image: Image, mask: Float32, left: int, top: int, number: int
) -> None:
    y0, x0, y1, x1 = max(0, top), max(0, left), min(HEIGHT, top + len(mask)), min(WIDTH, left + mask.shape[1])
    if y0 >= y1 or x0 >= x1:
        return
    part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = mask[part][..., None]
    canvas[y0:y1, x0:x1] += alpha * (image[part] - canvas[y0:y1, x0:x1])
    owner[y0:y1, x0:x1][mask[part] > 0.5] = number


def _count(mask: NDArray[np.bool_], box_xyxy: Float64) -> float:
    left, top, right, bottom = np.maximum(0, np.round(box_xyxy)).astype(int).tolist()
    return float(mask[top:bottom, left:right].sum())


def build(family: str, seed: int, heads: list[Head]) -> Scene:
    """One scene of a family; the same arguments give the same scene."""
    rng = np.random.default_rng([seed, sorted(FAMILIES).index(family)])
    order = rng.permutation(len(heads))
    paths = FAMILIES[family](rng)
    actors = [Actor(heads[order[n % len(heads)]], path, float(rng.uniform(0, 1))) for n, path in enumerate(paths)]
    actors.sort(key=lambda actor: float(actor.waypoints[:, 3].mean()))
    fps = FRAMES_PER_SECOND[seed % len(FRAMES_PER_SECOND)]
    times = _times(fps, rng, gaps=family == "gaps")
    background = cv2.GaussianBlur(heads[order[-1]].images_bgr[0], (0, 0), 25)
    return Scene(
        family=family,
        seed=seed,
        frames_per_second=fps,
        exposure_seconds=float(rng.uniform(1 / 100, 1 / 25)),
        times_us=times,
        actors=actors,
        pillars_xxyy=_pillars(rng) if family == "pillars" else [],
        background_bgr=np.asarray(cv2.resize(background, (WIDTH, HEIGHT)), np.uint8),
    )


def _times(fps: float, rng: np.random.Generator, *, gaps: bool) -> list[int]:
    """Capture times in microseconds; with ``gaps`` they jitter by a fifth of a frame and stretches are missing."""
    seconds = np.arange(0, DURATION_SECONDS, 1 / fps)
    if gaps:
        seconds = seconds + rng.uniform(0, 0.2 / fps, len(seconds))
        for start in rng.uniform(0.5, DURATION_SECONDS - 1, 3):
            seconds = seconds[(seconds < start) | (seconds > start + rng.uniform(0.2, 0.6))]
    return [_EPOCH_US + round(second * MICROSECONDS) for second in seconds]


def _pillars(rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    widths = rng.integers(45, 110, 2).tolist()
    return [(left, left + width, 0, HEIGHT) for left, width in zip((150, 400), widths, strict=True)]


def _walk(rng: np.random.Generator, size: float, speed_sizes: float, start: float, y: float) -> Float64:
    """Straight through the picture from one side to the other."""
    x0, x1 = (-size, WIDTH + size) if rng.random() < 0.5 else (WIDTH + size, -size)
    end = start + abs(x1 - x0) / (speed_sizes * size)
    return np.array([[start, x0, y, size], [end, x1, y + rng.uniform(-1, 1) * size, size * rng.uniform(0.9, 1.1)]])


def _walkers(rng: np.random.Generator) -> list[Float64]:
    return [
        _walk(rng, rng.uniform(36, 70), rng.uniform(2.0, 8.0), rng.uniform(0, 2.5), rng.uniform(110, 270))
        for _ in range(4)
    ]


def _crossings(rng: np.random.Generator) -> list[Float64]:
    """Two or three people to and fro at one height, right through each other."""
    paths, y = [], rng.uniform(150, 230)
    for side in (0, 1, 0)[: int(rng.integers(2, 4))]:
        size, turns = rng.uniform(45, 75), np.array([0.0, 1.0, 2.0, 3.0, 4.0]) * rng.uniform(1.2, 1.9)
        x = np.where((np.arange(5) + side) % 2 == 0, rng.uniform(80, 160), rng.uniform(480, 560))
        paths.append(np.stack([turns, x, np.full(5, y + rng.uniform(-0.4, 0.4) * size), np.full(5, size)], axis=1))
    return paths


def _behind_pillars(rng: np.random.Generator) -> list[Float64]:
    return [
        _walk(rng, rng.uniform(38, 60), rng.uniform(1.8, 5.0), rng.uniform(0, 1.5), y)
        for y in rng.uniform(120, 260, 3).tolist()
    ]


def _approach(rng: np.random.Generator) -> list[Float64]:
    """One comes close, one goes away, one passes behind them."""
    x0, x1 = rng.uniform(150, 250), rng.uniform(390, 490)
    near, far = rng.uniform(110, 140), rng.uniform(28, 36)
    coming = [[0.0, x0, 120, far], [rng.uniform(3, 5), rng.uniform(200, 400), 220, near], [6.0, x0, 220, near]]
    going = [[0.0, x1, 200, near * 0.8], [rng.uniform(3, 5), rng.uniform(300, 500), 120, far], [6.0, x1, 120, far]]
    return [np.array(coming), np.array(going), _walk(rng, 45, rng.uniform(2.5, 5), rng.uniform(0, 2), 150)]


def _crowd(rng: np.random.Generator) -> list[Float64]:
    """Six small faces that walk, stop and turn."""
    paths = []
    for _ in range(6):
        size, times = rng.uniform(26, 44), np.cumsum([0, *rng.uniform(0.8, 2.0, 5)])
        x, y = rng.uniform(60, 580, 6), rng.uniform(120, 270) + rng.uniform(-40, 40, 6)
        stops = rng.random(6) < 0.35
        for turn in range(1, 6):
            reach = 6.0 * size * (times[turn] - times[turn - 1])  # nobody walks faster than 6 sizes per second
            x[turn] = x[turn - 1] if stops[turn] else x[turn - 1] + np.clip(x[turn] - x[turn - 1], -reach, reach)
            y[turn] = y[turn - 1] if stops[turn] else y[turn]
        paths.append(np.stack([times, x, y, np.full(6, size)], axis=1))
    return paths


FAMILIES = {
    "approach": _approach,
    "crossings": _crossings,
    "crowd": _crowd,
    "gaps": _walkers,
    "pillars": _behind_pillars,
    "walkers": _walkers,
}
