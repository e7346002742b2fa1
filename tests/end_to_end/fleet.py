"""Workers as processes on a real broker, the means to hurt them, and a reader that knows only the topics."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kafka import TopicPartition

from tests.broker.environment import environment
from tests.end_to_end.harness import EVENT_SCHEMA, Frame
from worker.settings import Settings
from worker.transport.clients import open_admin, open_consumer
from worker.transport.log import PARTITION_KEY, Message
from worker.transport.reading import TopicReader
from worker.transport.state import PartitionState, load_partition
from worker.transport.writing import TopicWriter


@dataclass
class Worker:
    """One ``faceline run``."""

    name: str
    process: subprocess.Popen
    log: Path

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.process.poll() is None:
            self.process.send_signal(number)


@dataclass
class Fleet:
    """So many workers as are wanted; who ends by itself is started anew, as Kubernetes does."""

    settings: Settings
    folder: Path
    extra: Mapping[str, str] = field(default_factory=dict)  # environment
    static: bool = False  # stable names
    workers: list[Worker] = field(default_factory=list)
    num_started: int = 0
    exit_codes: Counter[int] = field(default_factory=Counter)

    def scale(self, number: int) -> None:
        """Start or drain workers until there are so many."""
        while len(self.workers) < number:
            self.workers.append(self._start(self._free_name()))
        for worker in self.workers[number:]:
            worker.send(signal.SIGTERM)
        leaving, self.workers = self.workers[number:], self.workers[:number]
        for worker in leaving:
            self.exit_codes[worker.process.wait(60)] += 1

    def tend(self) -> None:
        """Start anew whoever has ended."""
        for index, worker in enumerate(self.workers):
            if (code := worker.process.poll()) is not None:
                self.exit_codes[code] += 1
                self.workers[index] = self._start(worker.name if self.static else self._free_name())

    def kill(self, index: int) -> None:
        """``kill -9``, and a new one in its place."""
        self.workers[index].send(signal.SIGKILL)
        self.workers[index].process.wait(30)
        self.tend()

    def close(self) -> None:
        """Drain all."""
        for worker in self.workers:
            worker.send(signal.SIGCONT)
        self.scale(0)

    def logs(self) -> str:
        """What the workers said, for a failing test."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))

    def _free_name(self) -> str:
        taken = {worker.name for worker in self.workers}
        return next(name for name in (f"worker-{number}" for number in range(1000)) if name not in taken)

    def _start(self, name: str) -> Worker:
        self.num_started += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{self.num_started:03d}-{name}.log"
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FACELINE_")},
            **environment(self.settings),
            "FACELINE_HTTP__PORT": "0",
            "FACELINE_LOG__LEVEL": "INFO",
            **self.extra,
        }
        if self.static:
            env["FACELINE_KAFKA__GROUP_INSTANCE_ID"] = name
        with log.open("w") as output:
            process = subprocess.Popen([sys.executable, "-m", "worker", "run"], env=env, stderr=output, stdout=output)
        return Worker(name, process, log)


class Feed(threading.Thread):
    """Writes frames in order, all at once or so many a second, and waits where the broker is away."""

    def __init__(self, settings: Settings, frames: Sequence[Frame], rate: float | None = None) -> None:
        super().__init__(daemon=True)
        self._settings, self._frames, self._rate = settings, frames, rate
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        """The thread's work."""
        try:
            self._write()
        except BaseException as error:
            self.failure = error

    def finish(self, seconds: float) -> None:
        """Wait until all is written."""
        self.join(seconds)
        if self.failure is not None or self.is_alive():
            raise self.failure or TimeoutError("the frames were not written in time")

    def _write(self) -> None:
        writer, began = TopicWriter(self._settings.kafka), time.monotonic()
        for number, frame in enumerate(self._frames):
            if self._rate:
                time.sleep(max(0.0, began + number / self._rate - time.monotonic()))
            while not writer.has_room(1.0):
                pass
            key = None if frame.camera is None else frame.camera.encode()
            writer.write(Message(self._settings.topics.frames, key, frame.value, frame.headers, None, frame.time_us))
        while not writer.flush(1.0):
            pass
        assert writer.num_written == len(self._frames)
        writer.close()


@dataclass
class Progress:
    """How far a group has come on the frames' topic."""

    settings: Settings

    def __post_init__(self) -> None:
        self._consumer = open_consumer(self.settings.kafka, group_id=None, isolation_level="read_uncommitted")
        self._admin = open_admin(self.settings.kafka)

    def ends(self) -> dict[int, int]:
        """By partition, where it ends."""
        topic = self.settings.topics.frames
        homes = [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic)]
        return {home.partition: end for home, end in self._consumer.end_offsets(homes).items()}

    def committed(self) -> dict[int, int]:
        """By partition, where the group goes on; without a commit it is left out."""
        group = self.settings.service.application_id
        found = self._admin.list_group_offsets([group])[group]
        return {
            home.partition: each.offset for home, each in found.items() if home.topic == self.settings.topics.frames
        }

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()
        self._admin.close()


@dataclass
class Reading:
    """Everything that the topics of an application say."""

    values: dict[str, list[bytes]]  # event values by camera, in order
    accounts: dict[int, PartitionState]
    ends: dict[int, int]  # of the frames' partitions
    num_letters: int

    @property
    def ids(self) -> Counter[str]:
        """How often each event id was published."""
        return Counter(json.loads(value)["id"] for values in self.values.values() for value in values)

    @property
    def by_id(self) -> dict[str, bytes]:
        """The value published under each id."""
        return {json.loads(value)["id"]: value for values in self.values.values() for value in values}

    def identities(self) -> dict[str, list[tuple[str, str | None]]]:
        """By track, what was said of whom, in order."""
        told: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
        for values in self.values.values():
            for event in map(json.loads, values):
                told[event["track_id"]].append((event["kind"], event["identity"]["person_id"]))
        return told

    def unaccounted(self) -> int:
        """Frames whose fate the state's topic doesn't tell."""
        missing = 0
        for number, end in self.ends.items():
            account = self.accounts.get(number, PartitionState())
            known = sum(account.outcomes.values()) if account.first_offset == 0 else 0
            missing += abs(end - known) + abs(end - account.next_offset)
        return missing


def read(settings: Settings) -> Reading:
    """Read the topics as a subscriber would: committed records only; every value is held to its schema."""
    values: dict[str, list[bytes]] = defaultdict(list)
    with TopicReader(settings.kafka, settings.topics.events) as reader:
        for record in reader.read_to_end(_high_watermarks(settings, settings.topics.events)):
            assert record.key is not None
            assert record.value is not None
            EVENT_SCHEMA.validate(json.loads(record.value))
            values[record.key.decode()].append(record.value)
    accounts: dict[int, PartitionState] = {}
    with TopicReader(settings.kafka, settings.topics.state) as reader:
        for record in reader.read_to_end(_high_watermarks(settings, settings.topics.state)):
            if record.key == PARTITION_KEY.encode() and record.value is not None:
                accounts[record.partition] = load_partition(record.value)
    with TopicReader(settings.kafka, settings.topics.dead_letters) as reader:
        num_letters = len(list(reader.read_to_end(_high_watermarks(settings, settings.topics.dead_letters))))
    progress = Progress(settings)
    reading = Reading(dict(values), accounts, progress.ends(), num_letters)
    progress.close()
    return reading


def _high_watermarks(settings: Settings, topic: str) -> dict[int, int]:
    """The ends with what isn't decided yet, so that a reader waits for it."""
    consumer = open_consumer(settings.kafka, group_id=None, isolation_level="read_uncommitted")
    homes = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    ends = {home.partition: end for home, end in consumer.end_offsets(homes).items()}
    consumer.close()
    return ends


@dataclass(frozen=True)
class Verdict:
    """What a disturbed run says otherwise than the undisturbed one."""

    lost: int
    duplicated: int
    changed: int
    extra: int
    disordered: int  # cameras whose events come in another order
    tracks_changed: int  # whose id or identities differ
    unaccounted: int

    @property
    def clean(self) -> bool:
        """Nothing differs."""
        return not any(vars(self).values())


def compare(reference: Reading, disturbed: Reading) -> Verdict:
    """Event by event, and frame by frame."""
    ids, found = reference.by_id, disturbed.by_id
    before, after = reference.identities(), disturbed.identities()
    return Verdict(
        lost=len(ids.keys() - found.keys()),
        duplicated=sum(number - 1 for number in disturbed.ids.values()),
        changed=sum(found[each] != value for each, value in ids.items() if each in found),
        extra=len(found.keys() - ids.keys()),
        disordered=sum(reference.values.get(c) != disturbed.values.get(c) for c in reference.values | disturbed.values),
        tracks_changed=sum(before.get(track) != after.get(track) for track in before.keys() | after.keys()),
        unaccounted=disturbed.unaccounted(),
    )


def until(done: Callable[[], bool], seconds: float, tend: Callable[[], object] = lambda: None) -> None:
    """Wait until something holds. Raises ``TimeoutError``."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("what was awaited never happened")
        tend()
        time.sleep(0.25)
