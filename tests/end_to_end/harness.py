"""Run the real service loop on the in-process log, disturbed or not, and read what subscribers would read."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator

from worker.assemble import Loaded, open_gallery, open_pipeline
from worker.engines.engine import Engine
from worker.errors import PhotoRefused, Retryable
from worker.gallery.enrol import template_from_photo
from worker.gallery.folder import FolderGallery
from worker.gallery.records import PersonRecord
from worker.service import Service
from worker.settings import Settings, load_settings
from worker.transport.log import Headers
from worker.transport.memory import MemoryBroker

EVENT_SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "schemas" / "identity-event.v1.json").read_text())
)
"""Every event of every end-to-end test is validated against what is published."""
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
START_US = 1_769_846_400_000_000


@dataclass(frozen=True)
class Frame:
    """One record to be produced."""

    camera: str | None
    value: bytes | None
    time_us: int
    headers: Headers = ()


@dataclass
class Run:
    """What a run left on the topics."""

    values: dict[str, list[bytes]]  # event values by camera
    outcomes: dict[str, int]
    letters: list[dict[str, str]]  # headers of dead letters
    best_score: float | None = None  # that any candidate reached at any used frame
    threshold: float | None = None  # the highest in force
    num_restarts: int = 0
    broker: MemoryBroker = field(default_factory=MemoryBroker)

    def events(self, camera: str) -> list[dict[str, Any]]:
        """The events of a camera, parsed."""
        return [json.loads(value) for value in self.values.get(camera, [])]


class CachedEngine:
    """Remembers an engine's answers by their input, so that many runs over the same frames cost one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._answers: dict[bytes, dict[str, np.ndarray]] = {}
        self.name, self.inputs, self.outputs = engine.name, engine.inputs, engine.outputs

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row at a time: a batch is made of remembered rows."""
        length = len(next(iter(feeds.values())))
        rows = [self._row({name: array[i : i + 1] for name, array in feeds.items()}) for i in range(length)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _row(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        digest = hashlib.sha256()  # in hardware nearly everywhere: of a frame it costs half of what others do
        for array in feeds.values():
            digest.update(str(array.shape).encode() + array.tobytes())
        key = digest.digest()
        if key not in self._answers:
            self._answers[key] = self._engine.run(feeds)
        return self._answers[key]

    def close(self) -> None:
        """Nothing to give back."""


def cached(loaded: Loaded) -> Loaded:
    """The same models with a remembering detector and embedder; the recognizer stays as it is."""
    models = replace(
        loaded.models,
        detector=CachedEngine(loaded.models.detector),
        embedder=CachedEngine(loaded.models.embedder),
    )
    return replace(loaded, models=models)


def gallery_of(
    photos: Mapping[str, Sequence[bytes]], folder: Path, loaded: Loaded, settings: Settings
) -> FolderGallery:
    """Enrol photos by person."""
    gallery = FolderGallery(folder)
    for person, images in photos.items():
        templates = []
        for image in images:
            with suppress(PhotoRefused):  # as 'faceline enroll' does: the others count
                templates.append(
                    template_from_photo(
                        image, loaded.models.detector, loaded.models.embedder, loaded.embedder_digest, NOW,
                        settings.enrol, settings.decode,
                    )
                )  # fmt: skip
        gallery.put(PersonRecord(person_id=person, templates=tuple(templates), consent_time=NOW))
    return gallery


class Plant:
    """A broker, a gallery and as many workers as are wanted."""

    def __init__(
        self, loaded: Loaded, gallery: FolderGallery, *, partitions: int = 3, settings: Settings | None = None
    ) -> None:
        self.loaded, self.gallery = loaded, gallery
        self.settings = settings or load_settings(environ={})
        self.broker = MemoryBroker()
        topics = self.settings.topics
        for topic in (topics.frames, topics.events, topics.dead_letters):
            self.broker.create_topic(topic, partitions)
        self.broker.create_topic(topics.state, partitions, compacted=True)
        self.partitions = partitions

    def produce(self, frames: Sequence[Frame]) -> None:
        """Write all frames to the log."""
        for frame in frames:
            key = None if frame.camera is None else frame.camera.encode()
            self.broker.produce(
                self.settings.topics.frames, key, frame.value, frame.headers, timestamp_us=frame.time_us,
                partition=0 if key is None else None,
            )  # fmt: skip

    def worker(self, batch_frames: int = 32, name: str | None = None, **options: Any) -> Service:
        """A new worker that joins the group; ``options`` of ``Service``, and ``gallery``."""
        topics = self.settings.topics
        return Service(
            self.broker.join("workers", topics.frames, topics.state, member_id=name),
            open_pipeline(self.settings, self.loaded),
            options.pop("gallery", None) or open_gallery(self.settings, self.loaded, self.gallery),
            self.loaded.context,
            self.settings.model_copy(
                update={
                    "service": self.settings.service.model_copy(
                        update={"batch_frames": batch_frames, "commit_interval_seconds": 0.0}
                    )
                }
            ),
            **{"now": lambda: NOW, **options},
        )

    def behind(self) -> int:
        """Records not yet committed."""
        topic = self.settings.topics.frames
        committed = self.broker.committed_offsets("workers")
        return sum(len(self.broker.read(topic, p, committed.get(p, 0))) for p in range(self.partitions))

    def drain(self, service: Service, patience: int = 10_000) -> None:
        """Step until everything is committed."""
        for _ in range(patience):
            if not self.behind():
                return
            service.step(0.0)
        raise AssertionError("the log was not drained")

    def finish(self, service: Service) -> Run:
        """Close all tracks, and read the topics."""
        service.step(0.0)
        service.finish()
        service.close()
        return self.read()

    def read(self) -> Run:
        """What subscribers find."""
        topics = self.settings.topics
        values: dict[str, list[bytes]] = defaultdict(list)
        for record in self.broker.read(topics.events):
            assert record.key is not None
            assert record.value is not None
            EVENT_SCHEMA.validate(json.loads(record.value))
            values[record.key.decode()].append(record.value)
        letters = [
            {n: v.decode("utf-8", "replace") for n, v in r.headers} for r in self.broker.read(topics.dead_letters)
        ]
        return Run(dict(values), {}, letters, broker=self.broker)


def undisturbed(plant: Plant, frames: Sequence[Frame], batch_frames: int = 32) -> Run:
    """One worker, from the first frame to the last."""
    plant.produce(frames)
    service = plant.worker(batch_frames)
    service.step(0.0)
    views = []
    while plant.behind():
        views += [view for result in service.step(0.0).results for view in result.tracks]
    run = plant.finish(service)
    run.best_score = max((view.score for view in views if view.score is not None), default=None)
    run.threshold = max((view.threshold for view in views if view.threshold is not None), default=None)
    return run


def disturbed(plant: Plant, frames: Sequence[Frame], seed: int, num_workers: int = 2, faults: int = 12) -> Run:
    """Workers that are killed, fenced, and whose commits fail, while frames come in; everything seeded."""
    rng = random.Random(seed)
    workers = {f"w{i}": plant.worker(rng.randint(1, 9), f"w{i}") for i in range(num_workers)}
    pending, restarts, zombies = list(frames), 0, []
    actions: list[Callable[[], None]] = []

    def kill() -> None:
        nonlocal restarts
        name = rng.choice(sorted(workers))
        zombies.append(workers.pop(name))
        plant.broker.expire(name)
        restarts += 1
        workers[f"{name}x"] = plant.worker(rng.randint(1, 9), f"{name}x")

    def fail() -> None:
        plant.broker.fail_next_commit(Retryable("the broker went away"), written=rng.random() < 0.5)

    def defer() -> None:
        plant.broker.defer_next_restore()

    actions = [kill, fail, defer]
    while pending or plant.behind():
        chunk, pending = pending[:6], pending[6:]
        plant.produce(chunk)
        for name in sorted(workers):
            workers[name].step(0.0)
        if faults and rng.random() < 0.4:
            rng.choice(actions)()
            faults -= 1
    for name in sorted(workers)[1:]:
        workers.pop(name).close()
    last = next(iter(workers.values()))
    last.step(0.0)
    last.step(0.0)
    run = plant.finish(last)
    run.num_restarts = restarts
    return run
