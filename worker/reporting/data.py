"""What the page is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from worker.playback import Played
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


@dataclass(frozen=True)
class PageData:
    """Everything that the page is made from; the same data give the same page."""

    title: str
    notes: tuple[str, ...]
    stories: tuple[Story, ...]
    cameras: Mapping[str, CameraTimes]
    played: Played
    examples: Mapping[str, Sequence[str]]  # of refused frames, by reason
    thumbnails: Thumbnails | None = None
    video: Video | None = None

    @cached_property
    def start_us(self) -> int:
        """When the first frame was taken: the page's zero."""
        return min((times.first_us for times in self.cameras.values()), default=0)

    @cached_property
    def end_us(self) -> int:
        """When the last frame was taken."""
        return max((times.last_us for times in self.cameras.values()), default=self.start_us)


def anchor(story: Story) -> str:
    """The page's anchor of a track; ids of tracks may hold anything."""
    return "t" + sha256(f"{story.camera}\0{story.track_id}".encode()).hexdigest()[:12]
