"""Disturb workers and broker in every way we know, and hold what subscribers read to an undisturbed run.

python -m tests.end_to_end.chaos --out benchmarks [--seed N]
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

import cv2

from tests.broker.cluster import Broker
from tests.end_to_end.fleet import Feed, Fleet, Progress, Reading, Verdict, compare, read, until
from tests.end_to_end.harness import Frame
from worker.assemble import open_models
from worker.demo import scene
from worker.gallery.enrol import template_from_photo
from worker.gallery.records import PersonRecord
from worker.gallery.topic import TopicGallery
from worker.settings import KafkaSettings, ServiceSettings, Settings, TopicSettings, load_settings
from worker.transport import topics
from worker.types import MICROSECONDS

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SESSION_SECONDS = 3.0
SETTLE_SECONDS = 0.5  # a broker writes the end of a transaction in a few ms
FRAMES_PER_SECOND = 40.0  # of the long form: slow enough that every fault meets frames in flight
QUICK = {"session_timeout_seconds": SESSION_SECONDS, "transaction_timeout_seconds": SESSION_SECONDS,
         "request_timeout_seconds": 5.0}  # fmt: skip
WORKER_ENVIRONMENT = {
    "FACELINE_SERVICE__IDLE_CLOSE_SECONDS": "3600",  # wall time must not decide anything here
    "FACELINE_SERVICE__COMMIT_INTERVAL_SECONDS": "0.1",
    "FACELINE_DECIDE__PRESENT_SECONDS": "1",  # more to lose
}


@dataclass(frozen=True)
class Plan:
    """How many of each fault."""

    kills: int = 0
    stalls: int = 0  # SIGSTOP beyond the session, then SIGCONT
    rescales: int = 0  # 1 → 3 → 1
    restarts: int = 0  # of the broker
    workers: int = 2
    static: bool = False

    def faults(self, rng: random.Random) -> list[str]:
        """All of them, shuffled."""
        names = ["kill"] * self.kills + ["stall"] * self.stalls + ["rescale"] * self.rescales
        names += ["restart"] * self.restarts
        rng.shuffle(names)
        return names


@dataclass
class Outcome:
    """What a disturbed run came to."""

    plan: Plan
    verdict: Verdict
    num_events: int
    num_frames: int
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    workers_started: int = 0
    exit_codes: Counter[int] = field(default_factory=Counter)


def real_frames(num_cameras: int, num_frames: int) -> tuple[list[Frame], dict[str, list[bytes]]]:
    """Frames of so many cameras, interleaved by time, and photos of some of the people they show, one after another.

    They are of now: of a past time, retention would delete them under the workers' hands. From the shared footage
    where there is any, else from what the demo's packages ship.
    """
    clips, photos = _clips()
    begin_us = round(time.time()) * MICROSECONDS
    frames = []
    for camera in range(num_cameras):
        one_after_another = cycle(value for clip in (*clips[camera % len(clips) :], *clips) for value in clip)
        start = begin_us + camera * 13_000
        for number, value in enumerate(islice(one_after_another, num_frames)):
            frames.append(Frame(f"camera-{camera:02d}", value, start + number * 40_000))
    return sorted(frames, key=lambda frame: frame.time_us), photos


def _clips() -> tuple[list[list[bytes]], dict[str, list[bytes]]]:
    folder = os.environ.get("FACELINE_TEST_DATA")
    if not folder:
        car, door = list(scene.car_frames()), list(islice(scene.door_frames(), 0, 135, 3))
        return [[f.value for f in car], [f.value for f in door]], dict(scene.enrolment_photos())
    clips = [list(_jpegs(path)) for path in sorted((Path(folder) / "talking").glob("*.mpg"))]
    photos = {f"talker_{number}": [clip[5], clip[40]] for number, clip in enumerate(clips) if number % 2 == 0}
    return clips, photos


def _jpegs(path: Path) -> Iterator[bytes]:
    video = cv2.VideoCapture(str(path))
    while True:
        done, image = video.read()
        if not done:
            return
        yield cv2.imencode(".jpg", image)[1].tobytes()


def application(kafka: KafkaSettings, name: str, frames_topic: str) -> Settings:
    """Settings of one deployment on the shared frames."""
    return Settings(
        kafka=kafka,
        service=ServiceSettings(application_id=name),
        topics=TopicSettings(frames=frames_topic),
    )


def enrol(photos: dict[str, list[bytes]], deployments: list[Settings]) -> None:
    """The same people in each deployment's gallery."""
    defaults = load_settings(environ={})
    loaded = open_models(defaults)
    records = [
        PersonRecord(
            person_id=person,
            templates=tuple(
                template_from_photo(
                    image, loaded.models.detector, loaded.models.embedder, loaded.embedder_digest, NOW,
                    defaults.enrol, defaults.decode,
                )
                for image in images
            ),
            consent_time=NOW,
        )
        for person, images in photos.items()
    ]  # fmt: skip
    for settings in deployments:
        gallery = TopicGallery(settings)
        for record in records:
            gallery.put(record)
        gallery.close()


class Chaos:
    """Faults while a fleet works the log off."""

    def __init__(self, broker: Broker, settings: Settings, folder: Path, seed: int, num_frames: int) -> None:
        self.broker, self.settings, self.folder, self.num_frames = broker, settings, folder, num_frames
        self.rng = random.Random(seed)
        self.progress = Progress(settings)

    def undisturbed(self, seconds: float) -> Reading:
        """One worker, from the first frame to the last."""
        fleet = Fleet(self.settings, self.folder, WORKER_ENVIRONMENT)
        fleet.scale(1)
        try:
            until(self.is_done, seconds)
        finally:
            fleet.close()
        assert fleet.exit_codes == Counter({0: 1}), fleet.logs()
        return read(self.settings)

    def disturbed(self, plan: Plan, seconds: float, tell: Callable[[str], None] = lambda text: None) -> Outcome:
        """Faults spread over the work, so that every one of them meets frames in flight."""
        began = time.monotonic()
        fleet = Fleet(self.settings, self.folder, WORKER_ENVIRONMENT, static=plan.static)
        fleet.scale(plan.workers)
        outcome = Outcome(plan, Verdict(0, 0, 0, 0, 0, 0, 0), 0, self.num_frames)
        faults = plan.faults(self.rng)
        try:
            for number, fault in enumerate(faults):
                due = (number + 0.5) / len(faults)
                until(lambda due=due: self.share_done() >= due, seconds, fleet.tend)
                tell(f"{self.share_done():4.0%} done: {fault}")
                getattr(self, fault)(fleet, plan)
                outcome.faults[fault] += 1
            until(self.is_done, seconds, fleet.tend)
        except TimeoutError as error:
            done, lost = self.progress.committed(), self.lost_ends()
            raise TimeoutError(f"{error}: {done} of {self.num_frames}\n{fleet.logs()}\n{lost}") from error
        finally:
            fleet.close()
        outcome.seconds = time.monotonic() - began
        outcome.workers_started, outcome.exit_codes = fleet.num_started, fleet.exit_codes
        return outcome

    def share_done(self) -> float:
        """Of all frames, those committed."""
        try:
            return sum(self.progress.committed().values()) / self.num_frames
        except Exception:  # the broker is away: asked again soon
            return 0.0

    def is_done(self) -> bool:
        """Whether the group has committed every frame."""
        return self.share_done() >= 1.0

    def kill(self, fleet: Fleet, plan: Plan) -> None:
        """A worker dies and is replaced."""
        fleet.kill(self.rng.randrange(len(fleet.workers)))

    def stall(self, fleet: Fleet, plan: Plan) -> None:
        """A worker sleeps past its session, others take over, it wakes with a batch in hand."""
        worker = self.rng.choice(fleet.workers)
        worker.send(signal.SIGSTOP)
        time.sleep(SESSION_SECONDS * self.rng.uniform(1.3, 2.0))
        worker.send(signal.SIGCONT)

    def rescale(self, fleet: Fleet, plan: Plan) -> None:
        """1 → 3 → 1 workers."""
        for number in (1, 3, 1, plan.workers):
            fleet.scale(number)
            time.sleep(self.rng.uniform(1.0, 3.0))

    def restart(self, fleet: Fleet, plan: Plan) -> None:
        """The broker is stopped and started again, as in an upgrade.

        In the moment before, the workers are frozen: a transaction may be open, but no worker is ending one. What an
        only broker without replicas is told to end while it goes down, or is killed in, can stay open for ever
        (docs/kafka.md says what to do then).
        """
        for worker in fleet.workers:
            worker.send(signal.SIGSTOP)
        time.sleep(SETTLE_SECONDS)
        in_order = self.broker.stop()
        for worker in fleet.workers:
            worker.send(signal.SIGCONT)
        assert in_order, "the broker didn't stop in 30 s and was killed"
        time.sleep(self.rng.uniform(0.0, 2.0))
        self.broker.start()

    def lost_ends(self) -> list[str]:
        """What the broker says of transactions that it failed to end."""
        lines = (self.broker.folder / "broker.log").read_text().splitlines()
        return [line[:300] for line in lines if "Couldn't find leader endpoint" in line]


def run(
    folder: Path, plans: list[Plan], *, cameras: int, frames: int, seed: int, seconds: float, rate: float | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Outcome]:  # fmt: skip
    """For each plan a disturbed run, and one that nobody disturbs, on the same frames of one broker.

    With ``rate`` so many frames a second come while the faults happen, on a topic for each plan; without it all plans
    share what was written before.
    """
    broker = Broker(folder / "broker")
    broker.start()
    try:
        kafka = broker.settings(**QUICK)
        feed, photos = real_frames(cameras, frames)
        outcomes: list[Outcome] = []
        for group in [plans] if rate is None else [[plan] for plan in plans]:
            first = len(outcomes)
            names = [f"chaos-{first + number}" for number in range(len(group))]
            deployments = [application(kafka, name, f"frames-{first}") for name in (*names, f"calm-{first}")]
            for settings in deployments:
                topics.create(settings, partitions=6)
            enrol(photos, deployments)
            feeder = Feed(deployments[0], feed, rate)
            if rate is None:
                feeder.finish(seconds)
            tell(f"{len(feed)} frames of {cameras} cameras {'come' if rate else 'are'} on 6 partitions")
            found = []
            for settings, plan in zip(deployments, group, strict=False):
                chaos = Chaos(broker, settings, folder / settings.service.application_id, seed, len(feed))
                outcomes.append(chaos.disturbed(plan, seconds, tell))
                found.append(read(settings))
            feeder.finish(seconds)
            calm = Chaos(broker, deployments[-1], folder / f"calm-{first}", seed, len(feed))
            reference = calm.undisturbed(seconds)
            assert reference.unaccounted() == 0, "the undisturbed run doesn't account for every frame"
            tell(f"undisturbed: {sum(reference.ids.values())} events")
            for outcome, reading in zip(outcomes[first:], found, strict=True):
                outcome.verdict = compare(reference, reading)
                outcome.num_events = sum(reading.ids.values())
                tell(f"{outcome.verdict}")
        return outcomes
    finally:
        broker.stop()


LONG = [
    Plan(kills=20, stalls=5, rescales=1, restarts=3),
    Plan(kills=20, stalls=5, rescales=1, restarts=3, static=True),
]


HEAD = (
    "workers' names", "kills", "freezes", "rescales", "broker restarts", "frames", "events", "lost", "duplicated",
    "changed", "extra", "cameras out of order", "tracks with another id or identity", "frames unaccounted for", "took",
)  # fmt: skip


def report(outcomes: list[Outcome], cameras: int, frames: int, seed: int) -> str:
    """The page."""
    rows = "\n".join(
        f"| {'stable (static membership)' if o.plan.static else 'random'} | {o.faults['kill']} | {o.faults['stall']} "
        f"| {o.faults['rescale']} | {o.faults['restart']} | {o.num_frames} | {o.num_events} | {o.verdict.lost} "
        f"| {o.verdict.duplicated} | {o.verdict.changed} | {o.verdict.extra} | {o.verdict.disordered} "
        f"| {o.verdict.tracks_changed} | {o.verdict.unaccounted} | {o.seconds:.0f} s |"
        for o in outcomes
    )
    return f"""# Reliability

`make chaos` (`python -m tests.end_to_end.chaos`, seed {seed}): {cameras} cameras × {frames} real frames interleaved on
6 partitions of one real Apache Kafka 4.3.1 broker, {FRAMES_PER_SECOND:g} frames a second. Meanwhile two workers are
killed (`kill -9`), frozen beyond their session and woken (SIGSTOP, SIGCONT), scaled 1 → 3 → 1, and the broker is
stopped, with the workers frozen for the moment before, and started again. Afterwards one worker that nobody disturbs
takes the same frames. Sessions last {SESSION_SECONDS:g} s, commits are 0.1 s apart. Faults are spread evenly over the
frames, in an order drawn from the seed.

A reader that knows only the topics (committed records of `identity.events`, the accounts on `track.state`) compares:

| {" | ".join(HEAD)} |
|{"---|" * len(HEAD)}
{rows}

*Changed* compares event values byte for byte. *Unaccounted for*: the outcomes that the partitions' own records count
must sum up to the frames that are on the topic. A worker's exit code is -9 where it was killed.
"""


def main() -> int:
    """Run the long form and write benchmarks/reliability.md and .json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--frames", type=int, default=300)
    options = parser.parse_args()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        outcomes = run(Path(scratch), LONG, cameras=options.cameras, frames=options.frames, seed=options.seed,
                       seconds=1200, rate=FRAMES_PER_SECOND, tell=tell)  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "reliability.md").write_text(report(outcomes, options.cameras, options.frames, options.seed))
    rows = [
        {
            "plan": asdict(outcome.plan),
            "verdict": asdict(outcome.verdict),
            "num_events": outcome.num_events,
            "num_frames": outcome.num_frames,
            "seconds": round(outcome.seconds, 1),
            "workers_started": outcome.workers_started,
            "exit_codes": dict(outcome.exit_codes),
        }
        for outcome in outcomes
    ]
    (options.out / "reliability.json").write_text(json.dumps({"seed": options.seed, "runs": rows}, indent=2) + "\n")
    return 0 if all(outcome.verdict.clean for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
