"""Live cameras that break, come back, and don't wait for anybody."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from tests.clocks import START_US, FakeClock
from worker.cameras import Capture, Newest, TimedFrame, is_live, live_frames, open_capture, without_credentials
from worker.errors import FacelineError
from worker.sources import encode_jpeg
from worker.types import MICROSECONDS, Image


def image(level: int) -> Image:
    """Of one grey."""
    return np.full((48, 64, 3), level, np.uint8)


class FakeCapture:
    """Gives ``levels`` as images, one each ``seconds``, and then breaks: by raising, or by finding nothing."""

    def __init__(self, clock: FakeClock, levels: list[int], *, raises: bool = False, seconds: float = 0.1) -> None:
        self.clock, self.levels, self.raises, self.seconds = clock, levels, raises, seconds
        self.released = False

    def read(self) -> tuple[bool, Image]:
        """The next image."""
        self.clock.seconds += self.seconds
        if self.levels:
            return True, image(self.levels.pop(0))
        if self.raises:
            raise cv2.error("the stream is damaged")
        return False, np.empty(0, np.uint8)

    def release(self) -> None:
        """Note it."""
        self.released = True


def level(frame: TimedFrame) -> int:
    """The grey that was sent."""
    return round(cv2.imdecode(np.frombuffer(frame.value, np.uint8), cv2.IMREAD_COLOR).mean())


class Door:
    """A camera that opens as listed: None is closed."""

    def __init__(self, *captures: FakeCapture | None) -> None:
        self.captures = list(captures)
        self.opened_at: list[float] = []
        self.clock = FakeClock()

    def open(self, source: str) -> Capture | None:
        """The next capture."""
        assert source == "rtsp://user:secret@10.0.0.7/1"
        self.opened_at.append(self.clock.seconds)
        return self.captures.pop(0)

    def frames(self, told: list[str], fps: float | None = None) -> Iterator[TimedFrame]:
        """What comes until the captures are used up."""
        stopped = lambda: not self.captures  # noqa: E731 - the last capture isn't read
        return live_frames("rtsp://user:secret@10.0.0.7/1", self.clock, told.append, stopped, fps, self.open)


def test_a_broken_stream_is_opened_again() -> None:
    """Told when it goes and when it is back, once each; no secret is told; every capture is closed."""
    door = Door()
    first, second = FakeCapture(door.clock, [10, 20]), FakeCapture(door.clock, [30], raises=True)
    door.captures = [first, None, None, second, None]
    told: list[str] = []
    assert [level(frame) for frame in door.frames(told)] == [10, 20, 30]
    assert told == [
        "rtsp://***@10.0.0.7/1: the stream broke; trying again, every 30 s at last (Ctrl-C ends it)",
        "rtsp://***@10.0.0.7/1: is back",
        "rtsp://***@10.0.0.7/1: the stream broke; trying again, every 30 s at last (Ctrl-C ends it)",
    ]
    assert first.released and second.released


def test_it_backs_off() -> None:
    """Twice as long each time, half a minute at most; a frame sets it back to half a second."""
    door = Door()
    door.captures = [*[None] * 9, FakeCapture(door.clock, [1]), None, FakeCapture(door.clock, [2]), None]
    told: list[str] = []
    assert len(list(door.frames(told))) == 2
    waits = np.diff(door.opened_at)
    assert waits[:9] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30])
    assert waits[9] == pytest.approx(0.5 + 0.2)  # and two reads, the second of which found nothing
    assert told[0].startswith("rtsp://***@10.0.0.7/1: can't be opened; trying again")


def test_capture_times_are_now_and_rates_are_bounded() -> None:
    """Ten a second come, five are wanted: every other one, with the time at which it came."""
    door = Door()
    door.captures = [FakeCapture(door.clock, list(range(0, 100, 10))), None]
    times = [frame.capture_time_us - START_US for frame in door.frames([], fps=4.9)]
    assert times == [100_000, 400_000, 700_000, 1_000_000]
    door = Door()
    door.captures = [FakeCapture(door.clock, [1, 2, 3]), None]
    assert [f.capture_time_us - START_US for f in door.frames([])] == [100_000, 200_000, 300_000]


@pytest.mark.parametrize(
    ("source", "live"),
    [
        ("rtsp://h/1", True), ("http://h/video", True), ("/dev/video0", True), ("0", True), ("12", True),
        ("a.mp4", False), ("frames/", False), ("/dev/null", False), ("-1", False), ("²", False), ("", False),
    ],
)  # fmt: skip
def test_what_is_live(source: str, live: bool) -> None:
    """A number that isn't a file, a device, an address."""
    assert is_live(source) == live


def test_a_file_may_have_a_number_for_a_name(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "7").mkdir()
    assert not is_live("7")
    assert is_live("8")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://user:pa:ss@host:554/a", "rtsp://***@host:554/a"),
        ("rtsp://host/a@b", "rtsp://host/a@b"),
        ("http://u@host/?x=y@z", "http://***@host/?x=y@z"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_credentials_are_not_shown(address: str, shown: str) -> None:
    """The host is enough to know the camera by."""
    assert without_credentials(address) == shown


class TestNewest:
    """Frames nobody takes."""

    def test_the_oldest_are_dropped_and_counted(self) -> None:
        """Twenty came before anybody asked; five are kept."""
        read = threading.Event()

        def frames() -> Iterator[TimedFrame]:
            for n in range(20):
                yield TimedFrame(b"", "image/jpeg", n)
            read.set()

        with Newest(frames(), most_waiting=5) as newest:
            assert read.wait(30)
            taken = [newest.take(0.0) for _ in range(6)]
        assert [frame and frame.capture_time_us for frame in taken] == [15, 16, 17, 18, 19, None]
        assert newest.num_dropped == 15

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_reader_that_dies_is_noticed(self) -> None:
        """What came is still handed out; then the caller isn't left waiting for ever."""

        def frames() -> Iterator[TimedFrame]:
            yield TimedFrame(b"", "image/jpeg", 1)
            raise ZeroDivisionError

        with Newest(frames()) as newest:
            assert newest.take(30.0) == TimedFrame(b"", "image/jpeg", 1)
            with pytest.raises(FacelineError, match="can't be read any more"):
                newest.take(30.0)


@contextmanager
def mjpeg_server(pictures_a_connection: int) -> Iterator[str]:
    """A camera with a web address, whose connections break off."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
            self.end_headers()
            for number in range(pictures_a_connection):
                data = encode_jpeg(image(10 * (number + 1)))
                self.wfile.write(b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data))
                self.wfile.write(data + b"\r\n")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/video"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_real_stream_that_breaks_off() -> None:
    """OpenCV reads an MJPEG camera over HTTP; three pictures a connection, seven are wanted."""
    told: list[str] = []
    taken: list[TimedFrame] = []
    with mjpeg_server(3) as address:
        clock = FakeClock()  # so that nobody waits
        for frame in live_frames(address, clock, told.append, lambda: len(taken) >= 7):
            clock.seconds += 1 / MICROSECONDS
            taken.append(frame)
    assert len(taken) == 7
    assert {level(frame) for frame in taken} <= {10, 20, 30}
    assert told.count(f"{address}: is back") == 2


def test_what_is_no_camera() -> None:
    """Closed, without an exception."""
    with mjpeg_server(0) as address:
        assert open_capture(address) is None
    assert open_capture(address) is None
    assert open_capture("/dev/video_that_is_not") is None
