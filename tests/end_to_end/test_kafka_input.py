"""What anybody may write to the topics of a real broker, and the loop goes on."""

import os
from collections.abc import Iterator

import msgspec
import pytest

from tests.commands.streams import Raw
from tests.end_to_end.on_kafka import Site, now_us, until, with_changes
from worker.assemble import Loaded
from worker.gallery.folder import FolderGallery
from worker.messages import FRAME_TYPE
from worker.settings import Settings
from worker.sources import SourceFrame
from worker.transport import topics
from worker.transport.codec import frame_headers
from worker.transport.log import Message
from worker.transport.state import FORMAT
from worker.types import MICROSECONDS

pytestmark = pytest.mark.models
MAN = "carphone_man"
MEGABYTE = 2**20


@pytest.fixture
def site(kafka: Settings) -> Iterator[Site]:
    """One partition."""
    topics.create(kafka, partitions=1)
    yield Site(kafka)


def car_at(site: Site, car: list[SourceFrame], start_us: int, camera: bytes = b"car") -> list[Message]:
    """The car's frames, from a time on."""
    return [site.frame(camera, frame.value, start_us + frame.since_start_us // 1000 * 1000) for frame in car]


def test_whatever_comes(site: Site, car: list[SourceFrame], quick: Loaded, gallery: FolderGallery) -> None:
    """Records of every bad kind between the frames of two interleaved cameras: each has its fate, nobody suffers."""
    start_us = now_us() - 60 * MICROSECONDS
    image = car[0].value

    def odd(camera: bytes | None, value: bytes | None = image, **headers: bytes) -> Message:
        names = ((name.replace("_", "-") if name == "content_type" else name, data) for name, data in headers.items())
        return site.frame(camera, value, start_us, headers=names)

    later_us = start_us + MICROSECONDS // 2
    bad = [
        (odd(None), "missing_key"),
        (odd(b""), "missing_key"),
        (odd(None, None), "missing_key"),
        (odd(b"\xff\xfe"), "bad_key"),
        (odd(b"k" * 500), "bad_key"),
        (odd(b"a\nb"), "bad_key"),
        (odd(b"odd-1", None), "empty"),
        (odd(b"odd-1", b""), "empty"),
        (odd(b"odd-1", b"{}"), "unsupported_format"),
        (odd(b"odd-1", ce_type=b"io.faceline.person.v1"), "unknown_type"),
        (odd(b"odd-1", ce_type=b"\xff\xfe"), "unknown_type"),
        (odd(b"odd-1", ce_type=FRAME_TYPE.replace("v1", "v2").encode()), "unknown_type"),
    ]
    fine = [  # odd, and yet a frame each
        site.frame(b"odd-2", image, later_us, headers=[("ce_time", b"yesterday")]),
        site.frame(b"odd-3", image, later_us, headers=[("ce_time", b""), ("ce_time", b"\xff"), ("", b"")]),
        site.frame(b"odd-4", image, later_us, headers=frame_headers("odd-4", 0, "image/png", -1)),
        site.frame(b"odd-5", image, later_us, headers=[("traceparent", b"00-nonsense"), ("x" * 5000, b"y" * 5000)]),
        site.frame(b"odd-6", image, later_us, headers=[(Raw(b"\xff\xfe"), b"1")]),
        site.frame("odd 7 ü".encode(), image, later_us, headers=[(f"h{n}", b"") for n in range(300)]),
    ]
    cameras = [car_at(site, car, start_us), car_at(site, car, start_us, b"car-2")]
    both = [frame for pair in zip(*cameras, strict=True) for frame in pair]
    mixed = [*both[:20], *[message for message, _ in bad], *both[20:30], *fine, *both[30:]]
    site.produce(mixed)
    with site.service(quick, gallery) as running:
        running.work_off(len(mixed))
    assert running.problems == []
    assert running.outcomes["processed"] == len(both) + len(fine)
    letters = sorted(site.letters(), key=lambda letter: int(letter[1]["dlq_offset"]))
    assert [headers["dlq_reason"].decode() for _, headers in letters] == [reason for _, reason in bad]
    # A record with neither key nor value can't be written by the client: there its key is empty.
    assert [(r.key or None, r.value) for r, _ in letters] == [(m.key or None, m.value) for m, _ in bad]
    for camera in ("car", "car-2"):
        assert {e["identity"]["person_id"] for e in site.events(camera) if e["kind"] == "confirmed"} == {MAN}
    state = site.account()
    assert sum(state.outcomes.values()) == state.next_offset - state.first_offset == len(mixed)
    assert state.notes["malformed_time"] == 2 and state.notes["replaced_time"] == 1


def test_timestamps_of_another_age(site: Site, car: list[SourceFrame], quick: Loaded, gallery: FolderGallery) -> None:
    """A record from 1970 is a frame of its time; the partition's time doesn't go back, and no track ends by it."""
    start_us = now_us() - 60 * MICROSECONDS
    records = car_at(site, car, start_us)
    site.produce([*records[:15], site.frame(b"old", car[0].value, 0), *records[15:]])
    with site.service(quick, gallery) as running:
        running.work_off(len(records) + 1)
    assert running.outcomes["processed"] == len(records) + 1
    assert site.account().time_us == max(record.timestamp_us or 0 for record in records)
    assert "departed" not in [event["kind"] for event in site.events("car")]


def test_thirty_megabytes(kafka: Settings, car: list[SourceFrame], quick: Loaded, gallery: FolderGallery) -> None:
    """A record as large as the limits allow is a dead letter, or a reference where the letter would be larger."""
    limit = 30 * MEGABYTE
    site = Site(with_changes(kafka, kafka={"max_record_bytes": limit}))
    topics.create(site.settings, partitions=1)
    frames = car_at(site, car[:4], now_us())
    large = os.urandom(limit - 150)
    just_fits, smaller = site.frame(b"big", large, frames[0].timestamp_us), site.frame(b"big", large[:-1000], None)
    site.produce([*frames[:2], just_fits, smaller, *frames[2:]])
    with site.service(quick, gallery) as running:
        running.work_off(6)
    assert running.problems == []
    assert running.outcomes == {"processed": 4, "too_many_bytes": 2} | {
        name: number for name, number in running.outcomes.items() if name == "embedded"
    }
    (reference, headers), (whole, _) = site.letters()
    assert (reference.value, headers["dlq_reference"], headers["dlq_offset"]) == (None, b"1", b"2")
    assert int(headers["dlq_bytes"]) > limit - 150
    assert whole.value == smaller.value


def test_foreign_snapshots(site: Site, car: list[SourceFrame], quick: Loaded, gallery: FolderGallery) -> None:
    """Noise among the snapshots: those cameras begin anew, their snapshots go, the others live."""
    start_us = now_us()
    cameras = [b"car", b"car-2", b"car-3"]
    first = [frame for camera in cameras for frame in car_at(site, car[:20], start_us, camera)]
    site.produce(first)
    with site.service(quick, gallery) as running:
        running.work_off(len(first))
    topic = site.settings.topics.state
    site.produce([Message(topic, b"car", b"\xc1noise", (), 0), Message(topic, b"car-2", b"", (), 0),
                  Message(topic, b"\xff\xfe", b"?", (), 0)])  # fmt: skip
    rest = [frame for camera in cameras for frame in car_at(site, car, start_us, camera)[20:]]
    site.produce(rest[-10:])  # of car-3
    with site.service(quick, gallery) as running:
        running.work_off(10)
        states = site.states()
        assert states[0, b"car"] is None and states[0, b"car-2"] is None and states[0, b"car-3"]
        site.produce(rest[:-10])
        running.work_off(len(rest) - 10)
    tracks = {c: {e["track_id"] for e in site.events(c)} for c in ("car", "car-2", "car-3")}
    assert [len(tracks[c]) for c in ("car", "car-2", "car-3")] == [2, 2, 1]
    state = site.account()
    assert sum(state.outcomes.values()) == state.next_offset == len(first) + len(rest)


def test_a_newer_snapshot(site: Site, car: list[SourceFrame], quick: Loaded, gallery: FolderGallery) -> None:
    """It waits for a worker of that version, says so, and ends nobody's visit; then it goes on."""
    frames = car_at(site, car, now_us())
    site.produce(frames[:20])
    with site.service(quick, gallery) as running:
        running.work_off(20)
    topic = site.settings.topics.state
    whole = site.states()[0, b"car"]
    site.produce([Message(topic, b"car", msgspec.msgpack.encode({"format": FORMAT + 1, "camera": "?"}), (), 0)])
    site.produce(frames[20:])
    with site.service(quick, gallery) as running:
        reason = until(lambda: running.service.step(0.1).unusable)
        assert f"snapshot of car: snapshot format {FORMAT + 1}" in reason and "run the version of Faceline" in reason
    site.produce([Message(topic, b"car", whole, (), 0)])
    with site.service(quick, gallery) as running:
        running.work_off(len(frames) - 20)
    assert len({event["track_id"] for event in site.events("car")}) == 1


@pytest.mark.parametrize("to", [25, 5])
def test_offsets_set_by_an_operator(
    site: Site, car: list[SourceFrame], quick: Loaded, gallery: FolderGallery, to: int
) -> None:
    """With the workers stopped, as kafka-consumer-groups.sh does: ahead is skipped, behind begins anew."""
    frames = car_at(site, car, now_us())
    site.produce(frames[:20])
    with site.service(quick, gallery) as running:
        running.work_off(20)
    site.produce(frames[20:])
    site.reset_offset(to)
    with site.service(quick, gallery) as running:
        running.work_off(len(frames) - to)
    state = site.account()
    tracks = list(dict.fromkeys(event["track_id"] for event in site.events("car")))
    if to > 20:
        assert state.outcomes == {"processed": 25, "skipped": 5} and len(tracks) == 1
    else:
        assert state.outcomes == {"processed": 25} and (state.first_offset, len(tracks)) == (5, 2)
        assert tracks[1].endswith("-0-5-0"), "named after the frame in which it begins anew"
    assert state.next_offset == site.committed()[0] == len(frames)


def test_the_topic_is_deleted_and_made_again(
    site: Site, car: list[SourceFrame], quick: Loaded, gallery: FolderGallery
) -> None:
    """While it is gone the loop waits with the reason; in the new one it begins anew, from its first record."""
    frames = car_at(site, car, now_us())
    site.produce(frames[:20])
    with site.service(quick, gallery) as running:
        running.work_off(20)
        site.delete_frames_topic()
        until(lambda: running.problems, running.step)
        assert "topic doesn't exist: run 'faceline topics create'" in running.problems[-1]
        topics.create(site.settings, partitions=1)
        site.produce(car_at(site, car[:10], now_us(), b"car-2"))
        running.work_off(10)
    assert running.outcomes["processed"] == 30
    state = site.account()
    assert (state.first_offset, state.next_offset, state.outcomes) == (0, 10, {"processed": 10})
    assert site.states()[0, b"car"] is None
    ids = {camera: {e["track_id"].split("-")[0] for e in site.events(camera)} for camera in ("car", "car-2")}
    assert len(ids["car"]) == len(ids["car-2"]) == 1 and ids["car"] != ids["car-2"], "named after their topics"
