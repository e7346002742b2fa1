"""Frames onto a log that is slow, silent or picky: pacing, order, what is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.clocks import START_US, FakeClock
from worker.cameras import TimedFrame
from worker.publishing import Publisher, file_frames
from worker.sources import SourceFrame
from worker.transport.codec import frame_from_record
from worker.transport.log import Message, Record
from worker.types import MICROSECONDS


def source(number: int, fps: float = 10.0) -> Iterator[SourceFrame]:
    """Frames whose bytes tell their number."""
    for n in range(number):
        yield SourceFrame(str(n).encode(), "image/png", round(n * MICROSECONDS / fps))


def frames(number: int) -> Iterator[TimedFrame]:
    """The same with capture times."""
    for frame in source(number):
        yield TimedFrame(frame.value, frame.content_type, START_US + frame.since_start_us)


def never() -> bool:
    """Nobody asks for a stop."""
    return False


@dataclass
class FakeWriter:
    """Acknowledges at once unless ``away``; refuses values named in ``picky``; waiting takes the clock on."""

    clock: FakeClock
    most_waiting: int = 1000
    picky: frozenset[bytes] = frozenset()
    away: range = range(0)  # seconds of the clock
    num_written: int = 0
    bytes_written: int = 0
    acknowledged: list[Message] = field(default_factory=list)
    waiting: list[Message] = field(default_factory=list)
    refused: list[tuple[Message, str]] = field(default_factory=list)
    heard: float = 0.0

    def has_room(self, timeout_seconds: float) -> bool:
        """As the protocol says."""
        self._settle()
        if len(self.waiting) >= self.most_waiting:
            self.clock.seconds += timeout_seconds
            self._settle()
        return len(self.waiting) < self.most_waiting

    def write(self, message: Message) -> None:
        """As the protocol says."""
        if not self.waiting:
            self.heard = self.clock.seconds
        self.waiting.append(message)

    def take_refused(self) -> list[tuple[Message, str]]:
        """As the protocol says."""
        refused, self.refused = self.refused, []
        return refused

    def flush(self, timeout_seconds: float) -> bool:
        """As the protocol says."""
        self._settle()
        if self.waiting:
            self.clock.seconds += timeout_seconds
        return not self.waiting

    def num_waiting(self) -> int:
        """As the protocol says."""
        return len(self.waiting)

    def silent_seconds(self) -> float:
        """As the protocol says."""
        return self.clock.seconds - self.heard if self.waiting else 0.0

    def _settle(self) -> None:
        if self.away.start <= self.clock.seconds < self.away.stop:
            return
        for message in self.waiting:
            if message.value in self.picky:
                self.refused.append((message, "too large: send less"))
            else:
                self.acknowledged.append(message)
                self.num_written += 1
                self.bytes_written += len(message.value or b"")
        self.waiting.clear()


@dataclass
class Heard:
    """What was told."""

    lines: list[str] = field(default_factory=list)
    progresses: list[tuple[int, int]] = field(default_factory=list)

    def line(self, text: str) -> None:
        """Note it."""
        self.lines.append(text)

    def progress(self, num_written: int, bytes_written: int) -> None:
        """Note it."""
        self.progresses.append((num_written, bytes_written))


def publisher(
    writer: FakeWriter, heard: Heard, cameras: tuple[str, ...] = ("door",), stopped=never, last: float = 10.0
) -> Publisher:
    """On the writer's clock."""
    return Publisher(writer, "frames", cameras, writer.clock, heard, stopped, last)


class TestPacing:
    """When a file's frames come, and when they were taken."""

    def test_each_frame_when_it_is_due(self) -> None:
        """Ten a second; capture times are the times at which they came; sleeps are short enough to notice a stop."""
        clock = FakeClock()
        came = [(clock.seconds, frame) for frame in file_frames(source(4, fps=2), clock, never, paced=True)]
        assert [frame.value for _, frame in came] == [b"0", b"1", b"2", b"3"]
        assert [seconds for seconds, _ in came] == pytest.approx([0, 0.5, 1, 1.5])
        assert [frame.capture_time_us - START_US for _, frame in came] == [0, 500_000, 1_000_000, 1_500_000]
        assert max(clock.sleeps) <= 0.1

    def test_small_delays_are_caught_up(self) -> None:
        """A reader that takes 30 ms for every frame doesn't slow the playback down."""
        clock = FakeClock()
        came = []
        for _ in file_frames(source(11), clock, never, paced=True):
            came.append(clock.seconds)
            clock.seconds += 0.03
        assert came[-1] == pytest.approx(1.0)

    def test_after_a_long_wait_it_goes_on_at_the_same_pace(self) -> None:
        """Five seconds lost are not made up in a rush, which would look like five seconds of haste."""
        clock = FakeClock()
        came = []
        for number, _ in enumerate(file_frames(source(6), clock, never, paced=True)):
            came.append(clock.seconds)
            if number == 2:
                clock.seconds += 5
        assert came == pytest.approx([0, 0.1, 0.2, 5.2, 5.3, 5.4])

    def test_with_a_start_times_are_the_start_and_the_position(self) -> None:
        """However long it takes to play."""
        for paced in (True, False):
            clock = FakeClock(extra=0.05)
            times = [f.capture_time_us for f in file_frames(source(3), clock, never, paced=paced, start_us=7)]
            assert times == [7, 100_007, 200_007]

    def test_as_fast_as_possible_keeps_the_distances(self) -> None:
        """Nobody sleeps, and frames are still a tenth of a second apart."""
        clock = FakeClock()
        times = [f.capture_time_us - START_US for f in file_frames(source(3), clock, never, paced=False)]
        assert times == [0, 100_000, 200_000]
        assert clock.sleeps == []

    def test_times_rise_where_the_clock_stands_still(self) -> None:
        """Two frames in the same microsecond, or a clock that was set back: a camera's frames have an order."""

        class Stuck(FakeClock):
            def now_us(self) -> int:
                return START_US

        times = [f.capture_time_us - START_US for f in file_frames(source(3), Stuck(), never, paced=True)]
        assert times == [0, 1, 2]

    @pytest.mark.parametrize("paced", [True, False])
    def test_a_stop_ends_it(self, paced: bool) -> None:
        """Between frames and within a wait."""
        clock = FakeClock()
        stops = iter([False, False, False, True])
        came = list(file_frames(source(100), clock, lambda: next(stops, True), paced=paced))
        assert 0 < len(came) < 100


class TestPublisher:
    """From frames to records."""

    def test_records(self) -> None:
        """Key, bytes, times and headers as a worker reads them; the same frames for every camera, in order."""
        writer = FakeWriter(FakeClock())
        published = publisher(writer, Heard(), ("door", "Tür")).publish(frames(3))
        assert [(m.key, m.value) for m in writer.acknowledged] == [
            (camera.encode(), value) for value in (b"0", b"1", b"2") for camera in ("door", "Tür")
        ]
        last = writer.acknowledged[-1]
        assert last.timestamp_us == START_US + 200_000
        assert dict(last.headers)["content-type"] == b"image/png"
        assert dict(last.headers)["ce_sequence"] == b"2"
        frame = frame_from_record(Record("t", "", 0, 0, last.timestamp_us, last.key, last.value, last.headers), None)
        assert (frame.ref.camera, frame.ref.capture_time_us) == ("Tür", START_US + 200_000)
        assert (published.num_written, published.num_lost, published.succeeded) == (6, 0, True)

    def test_while_the_broker_is_away_nothing_is_lost(self) -> None:
        """Told once when it falls silent and once when it is back, with how many wait; all frames arrive in order."""
        clock = FakeClock()
        writer, heard = FakeWriter(clock, most_waiting=5, away=range(1, 60)), Heard()
        published = publisher(writer, heard).publish(file_frames(source(40), clock, never, paced=True))
        assert [m.value for m in writer.acknowledged] == [str(n).encode() for n in range(40)]
        assert published.num_lost == 0
        gone, back = heard.lines
        assert gone == (
            "topic frames: nothing acknowledged for 3 s, 5 records wait: is the broker up? Waiting for it; "
            "Ctrl-C ends it"
        )
        assert back == "topic frames: the broker answers again"

    def test_a_stop_while_the_broker_is_away(self) -> None:
        """Waits for the acknowledgements as long as it was told, then says what may be lost."""
        clock = FakeClock()
        writer = FakeWriter(clock, most_waiting=5, away=range(10_000))
        published = publisher(writer, Heard(), stopped=lambda: clock.seconds > 20, last=10).publish(frames(40))
        assert (published.num_written, published.num_lost, published.succeeded) == (0, 5, False)
        assert 30 < clock.seconds < 32

    def test_a_stop_with_a_broker_that_answers(self) -> None:
        """What was handed over is written."""
        clock = FakeClock()
        writer = FakeWriter(clock)
        stopped = lambda: clock.seconds > 1  # noqa: E731
        published = publisher(writer, Heard(), stopped=stopped).publish(
            file_frames(source(100), clock, stopped, paced=True)
        )
        assert 5 < published.num_written < 15
        assert published.succeeded

    def test_refused_frames_are_told_and_counted(self) -> None:
        """By number and camera; the others arrive."""
        writer, heard = FakeWriter(FakeClock(), picky=frozenset({b"1"})), Heard()
        published = publisher(writer, heard).publish(frames(3))
        assert heard.lines == ["frame 1 of camera door refused: too large: send less"]
        assert [m.value for m in writer.acknowledged] == [b"0", b"2"]
        assert (published.num_written, published.num_refused, published.succeeded) == (2, 1, True)

    def test_many_refusals_are_counted_only(self) -> None:
        """A camera whose every frame is too large doesn't fill the terminal."""
        writer, heard = FakeWriter(FakeClock(), picky=frozenset(str(n).encode() for n in range(30))), Heard()
        published = publisher(writer, heard).publish(frames(30))
        assert (len(heard.lines), heard.lines[-1]) == (11, "further refusals are only counted")
        assert (published.num_refused, published.succeeded) == (30, False)

    def test_no_frame_is_no_success(self) -> None:
        """None stands for a while without one."""
        writer, heard = FakeWriter(FakeClock()), Heard()
        assert not publisher(writer, heard).publish([None, None]).succeeded
        assert heard.progresses == [(0, 0)] * 3
