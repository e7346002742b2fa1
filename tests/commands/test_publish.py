"""faceline publish: what it refuses, and what a real broker then holds."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.broker.cluster import Broker, NoBroker
from tests.broker.environment import environment
from tests.commands.conftest import Run
from tests.commands.streams import read
from tests.required import missing
from tests.test_cameras import image, mjpeg_server
from worker.settings import Settings
from worker.sources import encode_jpeg
from worker.transport.codec import frame_from_record
from worker.transport.topics import create
from worker.types import MICROSECONDS

PATIENCE_SECONDS = 60.0  # for a subprocess on a busy machine; nothing is timed by it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five pictures, JPEG and PNG, and one that is no picture: publish doesn't judge."""
    made = tmp_path / "frames"
    made.mkdir()
    for number in range(5):
        picture = image(40 * number)
        (made / f"{number}.jpg").write_bytes(encode_jpeg(picture))
    (made / "2.jpg").rename(made / "2.png")
    (made / "5.jpg").write_bytes(os.urandom(1000))
    return made


def video(path: Path, frames: int = 12, fps: float = 25.0) -> Path:
    """Motion JPEG, each frame of its own grey."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(image(20 * number))
    writer.release()
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.mp4", "--camera", "a"], "source nothing.mp4 doesn't exist"),
        ([".", "--camera", ""], "--camera is '': the record has no key"),
        ([".", "--camera", "a\nb"], "unprintable"),
        ([".", "--camera", "k" * 129], "128 at most"),
        ([".", "--camera", "\udcff"], "not UTF-8"),
        ([".", "--camera", "a", "--fps", "0"], "--fps is 0"),
        (["rtsp://u:p@h/1", "--camera", "a", "--fps", "-1"], "--fps is -1"),
        (["rtsp://u:p@h/1", "--camera", "a", "--loop"], "--loop is for files: rtsp://***@h/1 is a live camera"),
        (["0", "--camera", "a", "--as-fast-as-possible"], "--as-fast-as-possible is for files: 0 is a live"),
        (["/dev/video0", "--camera", "a", "--start", "2026-01-31T08:00:00Z"], "--start is for files"),
    ],
)
def test_what_cannot_be_published(
    faceline: Run, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and one line, before anybody asks for a broker."""
    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACELINE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    done = faceline("publish", *arguments)
    assert done.code == 2
    assert message in done.err
    assert "u:p" not in done.err


def test_a_start_that_is_no_time(faceline: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2."""
    monkeypatch.setenv("FACELINE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    done = faceline("publish", folder, "--camera", "a", "--start", "soon")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--start is 'soon': expected a time such as 2026-01-31T08:00:00Z" in done.err


def test_without_a_broker_configured(faceline: Run, folder: Path) -> None:
    """Says which setting is missing."""
    done = faceline("publish", folder, "--camera", "a")
    assert done.code == 2
    assert "set kafka.bootstrap_servers" in done.err


def test_a_topic_that_is_missing(faceline: Run, folder: Path, kafka: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It isn't made by accident, and nobody waits for it."""
    for name, value in environment(kafka).items():
        monkeypatch.setenv(name, value)
    done = faceline("publish", folder, "--camera", "a")
    assert done.code == 1
    assert f"topic {kafka.topics.frames} doesn't exist: run 'faceline topics create'" in done.err


def test_a_folder_as_it_is(faceline: Run, folder: Path, application: Settings) -> None:
    """Byte for byte, in name order, with the times asked for; both cameras get the same frames."""
    start = ("--start", "2026-01-31T08:00:00Z", "--fps", "4")
    done = faceline("publish", folder, "--camera", "door", "--camera", "hall", "--as-fast-as-possible", *start)
    assert done.code == 0
    assert re.search(r"published 12 frames, \d+\.\d frames/s, 0\.0 MB\n$", done.err)
    assert "--start is more than an hour ago" in done.err
    records = read(application, application.topics.frames)
    expected = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert len(expected) == 6
    start_us = 1_769_846_400 * MICROSECONDS
    for camera in ("door", "hall"):
        mine = [record for record in records if record.key == camera.encode()]
        assert [record.value for record in mine] == expected
        assert len({record.partition for record in mine}) == 1
        for number, record in enumerate(mine):
            frame = frame_from_record(record, None)
            assert (frame.ref.camera, frame.malformed_time) == (camera, False)
            assert frame.ref.capture_time_us == record.timestamp_us == start_us + number * 250_000
            headers = dict(record.headers)
            assert headers["content-type"] == (b"image/png" if number == 2 else b"image/jpeg")
            assert headers["ce_sequence"] == str(number).encode()
            assert set(headers) == {
                "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_sequence", "content-type",
            }  # fmt: skip


def test_a_video(faceline: Run, tmp_path: Path, application: Settings) -> None:
    """Every frame as JPEG, in order, at the video's rate, played now."""
    before_us = time.time_ns() // 1000
    done = faceline("publish", video(tmp_path / "a.avi"), "--camera", "a")
    assert done.code == 0
    records = read(application, application.topics.frames)
    greys = [cv2.imdecode(np.frombuffer(r.value or b"", np.uint8), cv2.IMREAD_COLOR).mean() for r in records]
    assert greys == pytest.approx([20 * n for n in range(12)], abs=4)
    times = [frame_from_record(record, None).ref.capture_time_us for record in records]
    assert before_us < times[0]
    assert times == sorted(set(times))
    assert [record.timestamp_us for record in records] == [time_us // 1000 * 1000 for time_us in times]
    assert times[-1] - times[0] >= 10 * 40_000  # twelve frames at 25 a second take eleven periods, less one caught up


def test_too_large_records_are_passed_over(
    faceline: Run, folder: Path, application: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One above our limit, one above the topic's alone: both told with the cure, the others written."""
    (folder / "1.jpg").write_bytes(os.urandom(17 * 2**20))
    (folder / "3.jpg").write_bytes(b"")
    done = faceline("publish", folder, "--camera", "a", "--as-fast-as-possible")
    assert done.code == 0
    assert "frame 1 of camera a refused: 17826" in done.err
    assert "raise kafka.max_record_bytes and the topic's max.message.bytes" in done.err
    assert "published 5 frames" in done.err and "1 frame refused" in done.err
    larger = application.kafka.model_copy(update={"max_record_bytes": 20_000_000})
    larger_limit = application.model_copy(update={"kafka": larger})
    monkeypatch.setenv("FACELINE_KAFKA", environment(larger_limit)["FACELINE_KAFKA"])
    again = faceline("publish", folder, "--camera", "b", "--as-fast-as-possible")
    assert again.code == 0
    assert "frame 1 of camera b refused: " in again.err
    assert "MessageSizeTooLargeError" in again.err
    records = read(application, application.topics.frames)
    expected = [path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "1.jpg"]
    for camera in (b"a", b"b"):
        assert [record.value for record in records if record.key == camera] == expected


def test_nothing_written_is_a_failure(faceline: Run, tmp_path: Path, application: Settings) -> None:
    """A folder of one picture that is too large."""
    (tmp_path / "a.jpg").write_bytes(os.urandom(17 * 2**20))
    done = faceline("publish", tmp_path, "--camera", "a")
    assert done.code == 1
    assert "published 0 frames" in done.err
    assert read(application, application.topics.frames) == []


def process(application: Settings, *arguments: object) -> subprocess.Popen:
    """``faceline publish`` as a process of its own."""
    command = [sys.executable, "-m", "worker", "publish", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env={**os.environ, **environment(application)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def until_written(application: Settings, number: int) -> None:
    """Wait until the frames topic holds so many records."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(read(application, application.topics.frames)) < number:
        assert time.monotonic() < deadline, "nothing was published"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_loop_until_a_signal(folder: Path, application: Settings, number: signal.Signals) -> None:
    """Times and sequence go on rising over the end of the folder; what the summary counts is there; exit code 0."""
    running = process(application, folder, "--camera", "a", "--loop", "--fps", "100")
    until_written(application, 15)
    running.send_signal(number)
    out, err = running.communicate(timeout=PATIENCE_SECONDS)
    assert (running.returncode, out) == (0, ""), err
    records = read(application, application.topics.frames)
    assert f"published {len(records):,} frames," in err
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert [record.value for record in records] == [files[n % 6] for n in range(len(records))]
    times = [frame_from_record(record, None).ref.capture_time_us for record in records]
    assert times == sorted(set(times))
    assert [int(dict(record.headers)["ce_sequence"]) for record in records] == list(range(len(records)))


def test_a_camera_over_the_network(application: Settings) -> None:
    """A stream that breaks off is opened again; a signal ends it."""
    with mjpeg_server(3) as address:
        running = process(application, address, "--camera", "web")
        until_written(application, 4)
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 0, err
    assert f"{address}: the stream broke" in err and f"{address}: is back" in err
    records = read(application, application.topics.frames)
    assert f"published {len(records):,} frames," in err
    assert {record.key for record in records} == {b"web"}
    times = [frame_from_record(record, None).ref.capture_time_us for record in records]
    assert times == sorted(set(times))


@pytest.mark.slow
def test_no_broker_is_waited_for(folder: Path, tmp_path: Path) -> None:
    """Told once, with the cure; a signal ends it with exit code 1."""
    variables = {"FACELINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "FACELINE_KAFKA__REQUEST_TIMEOUT_SECONDS": "1"}
    command = [sys.executable, "-m", "worker", "publish", str(folder), "--camera", "a"]
    running = subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    line = running.stderr.readline()
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=PATIENCE_SECONDS)
    assert "no broker answers there: check that it runs, kafka.bootstrap_servers" in line
    assert "Waiting for it; Ctrl-C ends it" in line
    assert (running.returncode, rest) == (1, "")


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_that_dies_costs_no_frame(folder: Path, tmp_path: Path) -> None:
    """Killed and started again under a looping file: told once each, every frame there once, in order."""
    broker = Broker(tmp_path / "broker")
    try:
        broker.start()
    except NoBroker as reason:
        missing("kafka", f"no Kafka: {reason}")
    try:
        application = Settings(kafka=broker.settings())
        create(application, partitions=2)
        running = process(application, folder, "--camera", "a", "--camera", "b", "--loop", "--fps", "50")
        until_written(application, 20)
        assert running.stderr is not None
        broker.stop(hard=True)
        gone = running.stderr.readline()
        broker.start()
        back = running.stderr.readline()
        before = len(read(application, application.topics.frames))
        until_written(application, before + 20)
        running.send_signal(signal.SIGTERM)
        _, rest = running.communicate(timeout=PATIENCE_SECONDS)
        records = read(application, application.topics.frames)
    finally:
        broker.stop()
    assert "nothing acknowledged for 3 s" in gone
    assert "the broker answers again" in back
    assert running.returncode == 0
    assert f"published {len(records):,} frames," in rest
    for camera in (b"a", b"b"):
        sequence = [int(dict(r.headers)["ce_sequence"]) for r in records if r.key == camera]
        assert sequence == list(range(len(records) // 2))
