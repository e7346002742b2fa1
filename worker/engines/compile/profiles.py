"""Optimisation profiles: for which shapes an engine is built, and for which it is fastest. Pure.

TensorRT refuses every shape outside of an engine's profile. Batches of more rows are cut by whoever runs the engine;
all else that the pipeline feeds must lie within.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.engines.engine import TensorSpec
from worker.errors import InvalidSettings, ModelError

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

_STEP_PIXELS = 32  # height and width of what the detector is fed are multiples of this
_USUAL_FACES = 16
_USUAL_TILES = 4


@dataclass(frozen=True, slots=True)
class Span:
    """What one free dimension may be, and what it usually is. Raises ``ValueError`` unless 1 ≤ least ≤ usual ≤ most."""

    least: int
    usual: int
    most: int

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.usual <= self.most:
            raise ValueError(f"expected 1 <= least <= usual <= most, not {self.least}, {self.usual}, {self.most}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is computed at once, and in what steps. ``fixed_batches``: always the most."""

    max_frames: int
    max_side_pixels: int
    max_faces: int
    max_tracks: int
    track_tile: int
    fixed_batches: bool = False


@dataclass(frozen=True, slots=True)
class InputProfile:
    """Shapes of one input."""

    name: str
    least: Shape
    usual: Shape
    most: Shape

    def admits(self, shape: Shape) -> bool:
        """Whether an engine of this profile takes the shape."""
        return len(shape) == len(self.least) and all(
            low <= size <= high for low, size, high in zip(self.least, shape, self.most, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.name} {_text(self.least)}…{_text(self.usual)}…{_text(self.most)}"


@dataclass(frozen=True, slots=True)
class Profile:
    """Shapes of all inputs of one network."""

    inputs: tuple[InputProfile, ...]

    def require(self, fed: Shapes, network: str, cure: str) -> None:
        """Raise ``InvalidSettings`` where an engine of this profile would refuse what the pipeline feeds."""
        known = {one.name: one for one in self.inputs}
        if set(fed) != set(known):
            raise ModelError(
                f"{network} takes {sorted(known)}, and the pipeline feeds {sorted(fed)}: give another model"
            )
        for name, shape in fed.items():
            if not known[name].admits(shape):
                raise InvalidSettings(
                    f"the engine of {network} would take {known[name]}, and the pipeline feeds {_text(shape)}: {cure}"
                )

    def __str__(self) -> str:
        return "; ".join(map(str, self.inputs))


def profile(inputs: Iterable[TensorSpec], spans: Mapping[str, Span], network: str) -> Profile:
    """Spans put in for the free dimensions. Raises ``ModelError`` where a free dimension has none."""
    profiles = []
    for spec in inputs:
        sizes = [spans.get(size) if isinstance(size, str) else Span(size, size, size) for size in spec.shape]
        found = [size for size in sizes if size is not None]
        if len(found) < len(sizes):
            raise ModelError(
                f"input {spec.name!r} of {network} is {list(spec.shape)}, expected fixed sizes and {sorted(spans)}: "
                "give another model, or name its dimensions like that"
            )
        least, usual, most = (tuple(getattr(size, kind) for size in found) for kind in ("least", "usual", "most"))
        profiles.append(InputProfile(spec.name, least, usual, most))
    return Profile(tuple(profiles))


def detector_spans(limits: Limits) -> dict[str, Span]:
    """N frames of one size; the usual frame is wide, 16:9, and as large as frames are let be."""
    side, height = padded(limits.max_side_pixels), padded(limits.max_side_pixels * 9 // 16)
    frames = limits.max_frames
    return {
        "N": Span(1, frames, frames),
        "H": Span(_STEP_PIXELS, height, side),
        "W": Span(_STEP_PIXELS, side, side),
    }


def embedder_spans(limits: Limits) -> dict[str, Span]:
    """N faces."""
    most = limits.max_faces
    return {"N": Span(1, most if limits.fixed_batches else min(_USUAL_FACES, most), most)}


def recognizer_spans(limits: Limits) -> dict[str, Span]:
    """B tracks; they come in whole tiles, so the most is rounded up to one."""
    most = _up(limits.max_tracks, limits.track_tile)
    return {"B": Span(1, most if limits.fixed_batches else min(_USUAL_TILES * limits.track_tile, most), most)}


def padded(pixels: int) -> int:
    """Height or width of what the detector is fed for a frame of so many."""
    return _up(pixels, _STEP_PIXELS)


def _up(number: int, step: int) -> int:
    return max(step, -(-number // step) * step)


def _text(shape: Shape) -> str:
    return "×".join(map(str, shape))
