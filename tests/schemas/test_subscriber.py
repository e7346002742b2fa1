"""The example that subscribers paste: what it believes is what was said, whoever joins late, and nothing aborted."""

import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.test_decide import ANN, BEN, INTRUDER, MAYBE_ANN, STRANGER, UNSEEN, UNUSED, Frame, play
from tests.test_messages import CONTEXT, DECISION
from worker.contracts.headers import EventHeaders
from worker.messages import IdentityEvent, Kind, to_event
from worker.settings import Settings
from worker.stages.decide import depart
from worker.transport import topics
from worker.transport.clients import open_producer
from worker.transport.codec import message_from_event
from worker.types import MICROSECONDS, Decision, FrameRef, Identity, TrackEnd

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = DOCS / "examples" / "subscriber.py"
KNOWN, NOBODY = DECISION.identity, Identity("unknown", reason="no_match")
BASE_US = 1_770_000_000 * MICROSECONDS


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("subscriber", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


subscriber = _load()


def read(decision: Decision) -> dict:
    """An event as a subscriber reads it."""
    return json.loads(to_event(decision, CONTEXT, "v1").model_dump_json())


def said(kind: str, sequence: int, after: float, identity: Identity = NOBODY, track: str = "t", **more) -> dict:
    """An event so many seconds after the first."""
    return read(_decision(kind, sequence, after, identity, track, **more))


def _decision(kind: str, sequence: int, after: float, identity: Identity, track: str, **more) -> Decision:
    now_us = BASE_US + round(after * MICROSECONDS)
    return replace(
        DECISION, kind=kind, sequence=sequence, track_id=track, identity=identity, first_seen_us=BASE_US,
        last_seen_us=now_us, frame=FrameRef("door", "topic", 0, sequence, now_us), **more,
    )  # fmt: skip


def hear(events: Sequence[dict]) -> tuple[dict, list[list[str]]]:
    """What is believed at the end, and what was printed for each."""
    tracks: dict = {}
    return tracks, [subscriber.take(tracks, event) for event in events]


def test_the_documentation_shows_it_verbatim() -> None:
    """What is pasted is what is tested."""
    assert f"```python\n{SCRIPT.read_text()}```\n" in (DOCS / "subscribers.md").read_text()


class TestDocumentation:
    """What docs/subscribers.md claims, as far as code can tell."""

    text = (DOCS / "subscribers.md").read_text()

    @pytest.mark.parametrize(
        ("setting", "claim"),
        [
            ("gallery.fpir", "`gallery.fpir` ({:g})"),
            ("gallery.tentative_fpir", "`gallery.tentative_fpir` ({:g})"),
            ("track.lost_seconds", "{:g} s (`track.lost_seconds`)"),
            ("admit.silence_seconds", "{:g} s (`admit.silence_seconds`)"),
            ("service.idle_close_seconds", "after {:g} s of the worker's clock (`service.idle_close_seconds`)"),
            ("service.delivery", "`{}` (default)"),
            ("service.commit_interval_seconds", "the commit interval ({:g} s)"),
            ("kafka.transaction_timeout_seconds", "`kafka.transaction_timeout_seconds` ({:g} s)"),
            ("decide.present_seconds", "every {:g} s (`decide.present_seconds`)"),
            ("decide.confirm_face_pixels", "Faces under {:g} pixels stay tentative"),
        ],
    )
    def test_numbers_are_the_defaults(self, setting: str, claim: str) -> None:
        """A default that changes takes the text along."""
        group, _, field = setting.partition(".")
        assert claim.format(getattr(getattr(Settings(), group), field)) in " ".join(self.text.split())

    def test_every_setting_exists(self) -> None:
        """No setting of yesterday."""
        named = set(re.findall(r"`([a-z]+)\.([a-z_]+)(?::[^`]*)?`", self.text)) - {("camera", "frames")}
        groups = {group for group, _ in named} & set(Settings.model_fields)
        missing = [(g, f) for g, f in named if g in groups and not hasattr(getattr(Settings(), g), f)]
        assert missing == []
        assert len(groups) >= 6

    def test_every_kind_reason_and_header_is_explained(self) -> None:
        """Those that events can carry."""
        described = IdentityEvent.model_fields["reason"].description or ""
        reasons = set(re.findall(r"[a-z]+_[a-z_]+|left|erased", described))
        assert {"another_person", "left", "track_split", "erased"} <= reasons
        headers = {field.alias or name for name, field in EventHeaders.model_fields.items()} - {"ce_specversion"}
        assert [w for w in (*Kind.__args__, *reasons, *headers) if f"`{w}`" not in self.text] == []

    def test_links_lead_somewhere(self) -> None:
        """Relative ones."""
        links = re.findall(r"\]\(([^)#:]+)\)", self.text)
        assert links
        assert [link for link in links if not (DOCS / link).exists()] == []


class TestBelief:
    """One track after the other, without a broker."""

    def test_a_visit(self) -> None:
        """Arrival, name, departure; a tentative name and a heartbeat say nothing new."""
        tracks, lines = hear([
            said("appeared", 0, 0.0),
            said("tentative", 1, 0.2, replace(KNOWN, status="tentative")),
            said("confirmed", 2, 0.5, KNOWN),
            said("present", 3, 10.5, KNOWN),
            said("departed", 4, 12.4, KNOWN, reason="left"),
        ])  # fmt: skip
        assert lines == [["somebody is here"], [], ["ann is here"], [], ["ann left after 12 s (left)"]]
        assert subscriber.present(tracks) == "nobody"

    def test_a_retraction(self) -> None:
        """The name is taken back; with another person, that one is announced."""
        ben = replace(KNOWN, person_id="ben")
        tracks, lines = hear([
            said("confirmed", 1, 0.0, KNOWN),
            said("revised", 2, 1.0, ben, replaces=1, reason="another_person"),
            said("revised", 3, 2.0, replaces=2, reason="erased"),
        ])  # fmt: skip
        assert lines[1:] == [
            ["not ann after all (another_person)", "ben is here"],
            ["not ben after all (erased)", "somebody is here"],
        ]
        assert subscriber.present(tracks) == "somebody"

    def test_what_comes_twice_says_nothing(self) -> None:
        """The same events again, in the order in which a worker repeats them, even after the departure."""
        once = [said("appeared", 0, 0.0), said("confirmed", 1, 0.5, KNOWN), said("departed", 2, 9.0, KNOWN)]
        tracks, lines = hear([*once, *once, once[1]])
        assert lines[3:] == [[], [], [], []]
        assert subscriber.present(tracks) == "nobody"

    def test_who_joins_late_learns_it_from_the_heartbeat(self) -> None:
        """The first thing heard of a track may be that it is still there."""
        tracks, lines = hear([said("present", 7, 0.0, KNOWN), said("present", 4, 1.0, track="u")])
        assert lines == [["ann is here"], ["somebody is here"]]
        assert subscriber.present(tracks) == "ann, somebody"

    def test_who_is_never_heard_of_again_is_forgotten(self) -> None:
        """Three heartbeats missed, by the camera's own time."""
        tracks, _ = hear([said("confirmed", 1, 0.0, KNOWN), said("present", 1, 29.9, track="u")])
        assert subscriber.present(tracks) == "ann, somebody"
        tracks, _ = hear([said("confirmed", 1, 0.0, KNOWN), said("present", 1, 30.1, track="u")])
        assert subscriber.present(tracks) == "somebody"


SHOWN = st.sampled_from([ANN, BEN, MAYBE_ANN, STRANGER, INTRUDER, UNSEEN, UNUSED])
STORIES = st.lists(st.tuples(SHOWN, st.integers(1, 8)), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(STORIES, st.integers(0, 60))
def test_it_believes_what_the_worker_says(story: list[tuple[Frame, int]], erased_at: int) -> None:
    """Whatever frames come: after each, the subscriber names whom the track's standing names, till it departs."""
    frames = [frame for frame, times in story for _ in range(times)]
    played, tracks = play([]), {}
    for number, frame in enumerate(frames):
        if number == erased_at:
            played.enrolled.discard("ann")
        told = len(played.told)
        played.show([frame])
        for decision in played.told[told:]:
            subscriber.take(tracks, read(decision))
        standing = played.standing
        expected = (standing.identity.person_id if standing.status == "known" else None) or "somebody"
        assert subscriber.present(tracks) == (expected if standing.announced else "nobody")
    assert played.last is not None
    for decision in depart(played.standing, played.last, TrackEnd("t", "left", played.last_seen_us)):
        subscriber.take(tracks, read(decision))
    assert subscriber.present(tracks) == "nobody"


class TestKafka:
    """The script as it is run, on a real broker."""

    @pytest.fixture
    def lines(self, kafka: Settings, tmp_path: Path) -> Iterator["_Script"]:
        """Started when first read; killed when it takes too long."""
        script = _Script(kafka, tmp_path / "stderr")
        yield script
        script.stop()

    def test_it_prints_what_was_committed(self, kafka: Settings, lines: "_Script") -> None:
        """Who came before it was started, who is named and leaves afterwards; nothing of an aborted transaction."""
        topics.create(kafka, partitions=2)
        producer = open_producer(kafka.kafka, transactional_id=f"{kafka.service.application_id}-test")
        producer.init_transactions()

        def send(*events: IdentityEvent, commit: bool = True) -> None:
            producer.begin_transaction()
            for event in events:
                message = message_from_event(event, kafka.topics.events, BASE_US, None)
                producer.send(message.topic, message.value, message.key, list(message.headers))
            producer.flush()
            if commit:
                producer.commit_transaction()
            else:
                producer.abort_transaction()

        def event(*parts, **more) -> IdentityEvent:
            return to_event(_decision(*parts, **more), CONTEXT, "v1")

        try:
            send(event("appeared", 0, 0.0, NOBODY, "ghost"), commit=False)
            send(event("appeared", 0, 0.0, NOBODY, "t"), event("confirmed", 1, 0.5, KNOWN, "t"))
            assert lines.next().endswith("door: somebody is here; present: somebody")
            assert lines.next() == "2026-02-02T02:40:00.500000Z door: ann is here; present: ann"
            send(event("confirmed", 1, 1.0, KNOWN, "ghost"), commit=False)
            send(event("revised", 2, 2.0, NOBODY, "t", replaces=1, reason="erased"))
            assert lines.next().endswith("door: not ann after all (erased); present: somebody")
            assert lines.next().endswith("door: somebody is here; present: somebody")
            send(event("departed", 3, 4.0, NOBODY, "t", reason="left"))
            assert lines.next().endswith("door: somebody left after 4 s (left); present: nobody")
        finally:
            producer.close()


class _Script:
    """The example as a process of its own; ``next`` waits for a line."""

    def __init__(self, kafka: Settings, errors: Path) -> None:
        self._command = [sys.executable, str(SCRIPT), kafka.kafka.bootstrap_servers, kafka.topics.events]
        self._errors = errors
        self._process: subprocess.Popen[str] | None = None
        self._timer: threading.Timer | None = None

    def next(self) -> str:
        """A line without its end. Fails with the script's own words when it dies or says nothing for a minute."""
        if self._process is None:
            with self._errors.open("w") as errors:
                self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=errors, text=True)
            self._timer = threading.Timer(60, self._process.kill)
            self._timer.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the subscriber stopped: {self._errors.read_text()}"
        return line.rstrip("\n")

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._timer is not None:
            self._timer.cancel()
            self._process.kill()
            self._process.communicate()
