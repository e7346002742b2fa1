"""What is drawn on a frame: boxes, name plates, the weight that a frame counted, camera and time.

Everything scales with the frame. Lines lie on pixels and stay crisp. Text is TrueType and anti-aliased, so names may
be written in any script.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from worker.messages import rfc3339
from worker.pipeline import TrackView
from worker.types import Image

Colour = tuple[int, int, int]  # blue, green, red
Box = tuple[float, float, float, float]
Rect = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom exclusive

COLOURS: dict[str, Colour] = {"known": (108, 190, 44), "tentative": (36, 170, 245), "unknown": (198, 168, 138)}
JUMP: Colour = (70, 70, 240)
_INK: Colour = (255, 255, 255)
_SOFT: Colour = (214, 208, 202)
_PLATE: Colour = (34, 26, 20)
_PLATE_OPACITY = 0.78
_BOLD, _REGULAR = 600, 400
_REFERENCE_HEIGHT = 420.0  # at which one unit is one pixel

_font = cv2.FontFace("sans")


@dataclass(frozen=True, slots=True)
class Mark:
    """One track as it is drawn at one frame."""

    box_xyxy: Box
    status: str
    title: str
    detail: str
    seen: bool  # False where the box is only predicted
    announced: bool
    jump: bool  # it may show somebody else than the track's first person
    weight_share: float | None  # 0…1 of the heaviest frame of the track so far; None where the frame wasn't used

    def scaled(self, scale: float) -> "Mark":
        """The same on a picture of another size."""
        left, top, right, bottom = self.box_xyxy
        return replace(self, box_xyxy=(left * scale, top * scale, right * scale, bottom * scale))


def mark_of(view: TrackView, heaviest: float) -> Mark:
    """What to draw of a track; ``heaviest`` is the greatest weight that one of its frames had so far."""
    identity = view.identity
    share = None if view.weight is None else min(1.0, view.weight / heaviest) if heaviest > 0 else 0.0
    title = identity.person_id or "not named"
    return Mark(
        view.update.box_xyxy, identity.status, title, _detail(view), view.update.face_index >= 0, view.announced,
        view.doubted, share,
    )  # fmt: skip


def annotate(image_bgr: Image, marks: Sequence[Mark], camera: str, time_us: int) -> Image:
    """A copy with everything drawn on it."""
    image = image_bgr.copy()
    unit = max(0.85, min(image.shape[0], image.shape[1] * 9 / 16) / _REFERENCE_HEIGHT)
    taken = [_stamp(image, camera, time_us, unit)]
    for mark in marks:
        if mark.announced or mark.seen:
            _box(image, mark, unit)
    for mark in marks:
        if mark.announced and mark.seen:
            taken.append(_plate(image, mark, unit, taken))
    return image


def _detail(view: TrackView) -> str:
    identity = view.identity
    if view.doubted:
        return "another person?"
    if identity.status == "unknown":
        return (identity.reason or "unknown").replace("_", " ")
    score = "" if identity.score is None else f"  {identity.score:.2f}"
    return f"{identity.status}{score}"


def _box(image: Image, mark: Mark, unit: float) -> None:
    """A thin frame with stronger corners; only corners where the face is not announced, dimmed where not seen."""
    left, top, right, bottom = (round(v) for v in mark.box_xyxy)
    colour = COLOURS.get(mark.status, COLOURS["unknown"])
    accent = JUMP if mark.jump else colour
    if not mark.seen or not mark.announced:
        colour = accent = _dimmed(accent)
    thin = max(1, round(unit))
    if mark.announced:
        cv2.rectangle(image, (left, top), (right, bottom), colour, thin)
    arm = max(4, round(min(right - left, bottom - top) * 0.2))
    strong = thin + max(1, round(unit)) if mark.announced else thin
    for x, y, along, down in ((left, top, 1, 1), (right, top, -1, 1), (left, bottom, 1, -1), (right, bottom, -1, -1)):
        cv2.line(image, (x, y), (x + along * arm, y), accent, strong)
        cv2.line(image, (x, y), (x, y + down * arm), accent, strong)
    if mark.weight_share is not None and mark.announced:
        _weight(image, (left, bottom, right), mark.weight_share, accent, unit)


def _weight(image: Image, under: tuple[int, int, int], share: float, colour: Colour, unit: float) -> None:
    """A bar below the box: how much this frame counted, against the heaviest of the track so far."""
    left, bottom, right = under
    height, gap = max(3, round(3 * unit)), max(3, round(3 * unit))
    area = (left, bottom + gap, right + 1, bottom + gap + height)
    _fill(image, area, _PLATE, 0.6)
    _fill(image, (left, area[1], left + round((right + 1 - left) * share), area[3]), colour, 1.0)


def _plate(image: Image, mark: Mark, unit: float, taken: Sequence[Rect]) -> Rect:
    """Name and detail on a legible ground, where it covers no other plate if there is such a place."""
    big, small = max(11, round(15 * unit)), max(9, round(11.5 * unit))
    pad, stripe = max(3, round(5 * unit)), max(2, round(3 * unit))
    title = _shortened(mark.title, big, image.shape[1] // 2)
    width = max(_width(title, big, _BOLD), _width(mark.detail, small, _REGULAR)) + 2 * pad + stripe
    line_1, line_2 = round(big * 1.2), round(small * 1.25)
    height = line_1 + line_2 + pad + pad // 2
    area = _place(mark.box_xyxy, (width, height), (image.shape[1], image.shape[0]), taken, gap=max(3, round(4 * unit)))
    colour = JUMP if mark.jump else COLOURS.get(mark.status, COLOURS["unknown"])
    _fill(image, area, _PLATE, _PLATE_OPACITY)
    _fill(image, (area[0], area[1], area[0] + stripe, area[3]), colour, 1.0)
    x, y = area[0] + stripe + pad, area[1] + pad // 2
    _text(image, title, (x, y + round(big * 1.02)), _INK, big, _BOLD)
    _text(image, mark.detail, (x, y + line_1 + round(small * 1.02)), colour if mark.jump else _SOFT, small, _REGULAR)
    return area


def _place(box: Box, size: tuple[int, int], frame: tuple[int, int], taken: Sequence[Rect], gap: int) -> Rect:
    """The first free place of: above, below, above flush right, right of, left of the box; else above."""
    left, top, right, bottom = (round(v) for v in box)
    width, height = size
    under = bottom + 3 * gap
    wishes = [
        (left, top - height - gap), (left, under), (right - width, top - height - gap), (right - width, under),
        (right + gap, top), (left - width - gap, top),
    ]  # fmt: skip
    places = [_within(x, y, size, frame) for x, y in wishes]
    inside = [p for p, wish in zip(places, wishes, strict=True) if abs(p[1] - wish[1]) <= gap]
    return next((p for p in inside if not any(_overlap(p, other) for other in taken)), (inside or places)[0])


def _within(x: int, y: int, size: tuple[int, int], frame: tuple[int, int]) -> Rect:
    left = max(0, min(x, frame[0] - size[0]))
    top = max(0, min(y, frame[1] - size[1]))
    return left, top, left + size[0], top + size[1]


def _overlap(one: Rect, other: Rect) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _stamp(image: Image, camera: str, time_us: int, unit: float) -> Rect:
    """Camera and capture time in the upper left corner."""
    size, pad = max(9, round(11.5 * unit)), max(4, round(5 * unit))
    moment = rfc3339(time_us)
    clock = f"{moment[:10]}  {moment[11:21]} UTC"
    name = _shortened(camera, size, image.shape[1] // 3)
    name_width = _width(name, size, _BOLD)
    # Digits differ in width: measure with the widest, so that the plate doesn't tremble.
    clock_width = _width("".join("0" if c.isdigit() else c for c in clock), size, _REGULAR)
    area = (pad, pad, pad + name_width + clock_width + 4 * pad, pad + round(size * 1.3) + pad)
    _fill(image, area, _PLATE, _PLATE_OPACITY)
    baseline = area[1] + pad // 2 + round(size * 1.05)
    _text(image, name, (area[0] + pad, baseline), _INK, size, _BOLD)
    _text(image, clock, (area[0] + 3 * pad + name_width, baseline), _SOFT, size, _REGULAR)
    return area


def _fill(image: Image, area: Rect, colour: Colour, opacity: float) -> None:
    """Blend a rectangle, as far as it lies in the frame."""
    left, top, right, bottom = max(0, area[0]), max(0, area[1]), max(0, area[2]), max(0, area[3])
    part = image[top:bottom, left:right]
    if part.size:
        ground = np.empty_like(part)
        ground[:] = colour
        image[top:bottom, left:right] = cv2.addWeighted(ground, opacity, part, 1 - opacity, 0)


def _text(image: Image, text: str, origin: tuple[int, int], colour: Colour, size: int, weight: int) -> None:
    cv2.putText(image, text, origin, colour, _font, size, weight)


def _width(text: str, size: int, weight: int) -> int:
    left, _, width, _ = cv2.getTextSize((4096, 4096), text, (0, 0), _font, size, weight)
    return left + width


def _shortened(text: str, size: int, most: int) -> str:
    """At most so many pixels wide; an ellipsis tells of the rest."""
    if _width(text, size, _BOLD) <= most:
        return text
    kept = text
    while len(kept) > 1 and _width(kept + "…", size, _BOLD) > most:
        kept = kept[:-1]
    return kept + "…"


def _dimmed(colour: Colour) -> Colour:
    blue, green, red = (round(0.6 * c + 0.4 * 90) for c in colour)
    return blue, green, red
