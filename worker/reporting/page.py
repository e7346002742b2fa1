"""``report.html``: one page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.commands.play import Played
from worker.reporting.codec import Codec
from worker.reporting.story import Story
from worker.reporting.thumbnails import Thumbnails


@dataclass(slots=True)
class CameraTimes:
    """Frames of one camera that were processed, and when they were taken."""

    first_us: int
    last_us: int
    num_frames: int = 0


@dataclass(frozen=True, slots=True)
class Video:
    """The annotated video beside the page."""

    name: str
    codec: Codec
    seek: Mapping[tuple[str, int], float]  # camera and time of a decision → second of the video


@dataclass(frozen=True, slots=True)
class PageData:
    """Everything that the page is made from."""

    title: str
    notes: tuple[str, ...]
    stories: tuple[Story, ...]
    cameras: Mapping[str, CameraTimes]
    played: Played
    examples: Mapping[str, Sequence[str]]  # of refused frames, by reason
    thumbnails: Thumbnails | None = None
    video: Video | None = None


def render(data: PageData) -> str:
    """The page as HTML."""
    return "<!doctype html><title>Faceline</title>"
