"""Is everything in place for a worker? One finding after another, each with what to do, none that can hang."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, Queue
from threading import Thread
from typing import Literal

import numpy as np

from worker.assemble import Loaded, open_gallery, open_models, open_people
from worker.engines.int8 import load_int8
from worker.engines.models import EMBEDDER, load, load_recognizer, manifests
from worker.errors import FacelineError, ModelError
from worker.gallery.backup import take
from worker.settings import Settings
from worker.stages.detect import detect
from worker.stages.embed import embed
from worker.stages.recognize import blank_state, recognize
from worker.transport.inquiry import brokers, group, lacking
from worker.transport.topics import check, newest_frame_us, specs

_LOCAL_SECONDS = 120.0
_ENGINE_SECONDS = 1200.0  # TensorRT compiles what isn't in its cache
_CLOCK_SECONDS = 5.0  # a newest frame further in the future means that clocks disagree
MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "-"}


Role = Literal["worker", "administrator"]
"""Whose questions are asked: each can ask only what it has rights for."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; ``failed``: workers can't run. The text says what to do."""

    name: str
    state: Literal["ok", "warning", "failed", "skipped"]
    text: str
    details: Mapping[str, object] = field(default_factory=dict)


class Checkup:
    """All checks for ``settings``, in the order in which a worker would stumble. One thread."""

    def __init__(self, settings: Settings, role: Role = "worker") -> None:
        """``role``: an administrator may describe topics and read none, so a worker's questions aren't asked."""
        self._settings = settings
        self._role = role
        self._loaded: Loaded | None = None
        self._models_there = False
        # Each check asks the broker a handful of times.
        self._broker_seconds = 6 * settings.kafka.request_timeout_seconds

    def run(self) -> Iterator[Check]:
        """Each finding when it is known."""
        yield from _bounded("models", self._models, _LOCAL_SECONDS)
        yield from _bounded("engine", self._engine, _ENGINE_SECONDS)
        if not self._settings.kafka.bootstrap_servers:
            yield from _bounded("gallery", self._gallery, _LOCAL_SECONDS)
            text = "none is configured, so only this machine was checked: set kafka.bootstrap_servers to check the rest"
            yield Check("broker", "skipped", text)
            return
        found = list(_bounded("broker", self._broker, self._broker_seconds))
        yield from found
        if found[0].state == "failed":
            text = "not asked, since the broker can't be reached"
            yield from (Check(name, "skipped", text) for name in ("topics", "rights", "frames", "group", "gallery"))
            return
        topics = list(_bounded("topics", self._topics, self._broker_seconds))
        yield from topics
        if self._role == "administrator":
            text = "not asked as an administrator: check as the workers' user"
            yield from (Check(name, "skipped", text) for name in ("rights", "frames", "group", "gallery"))
            return
        yield from _bounded("rights", self._rights, self._broker_seconds)
        missing = {str(check.details.get("missing")) for check in topics}
        for name, function, topic in (
            ("frames", self._frames, self._settings.topics.frames),
            ("group", self._group, self._settings.topics.frames),
            ("gallery", self._gallery, self._settings.topics.gallery),
        ):
            if topic in missing:
                yield Check(name, "skipped", f"not asked: {topic} isn't there")
            else:
                yield from _bounded(name, function, self._broker_seconds)

    def _models(self) -> list[Check]:
        problems = []
        for manifest in manifests().values():
            try:
                load(manifest, self._settings.models.dir)
            except ModelError as error:
                problems.append(str(error))
        try:
            load_recognizer(self._settings.models.recognizer_dir)
        except ModelError as error:
            problems.append(str(error))
        if self._settings.engine.precision == "int8":
            try:
                load_int8(manifests()[EMBEDDER], self._settings.models.dir, "uint8")
            except ModelError as error:
                problems.append(str(error))
        if problems:
            return [Check("models", "failed", problem) for problem in problems]
        self._models_there = True
        return [Check("models", "ok", f"{', '.join(manifests())} and recognizer are there, digests right")]

    def _engine(self) -> list[Check]:
        """A small inference by each model, on an empty picture."""
        if not self._models_there:
            return [Check("engine", "skipped", "not tried without models")]
        self._loaded = open_models(self._settings)
        models = self._loaded.models
        begin = time.perf_counter()
        detect(np.zeros((64, 64, 3), np.uint8), models.detector, self._settings.detect)
        embeddings = embed(np.full((1, 112, 112, 3), 128, np.uint8), models.embedder)
        recognize(blank_state(models.recognizer)[None], embeddings, models.recognizer)
        milliseconds = round((time.perf_counter() - begin) * 1000)
        engines = {"detector": models.detector.name, "embedder": models.embedder.name}
        engines["recognizer"] = models.recognizer.name
        choice = self._loaded.choice
        precisions = {one.precision for one in self._loaded.computing.values()}
        what = f"{', '.join(sorted(set(engines.values())))} in {', '.join(sorted(precisions))}"
        why = f"fine without a GPU; {choice.reason}" if choice.no_gpu else f"chosen since {choice.reason}"
        text = f"{what}: detector, embedder and recognizer ran; {why}"
        details = {**engines, "milliseconds": milliseconds, "kind": choice.kind, "reason": choice.reason}
        return [Check("engine", "warning" if choice.idle_gpu else "ok", text, details)]

    def _gallery(self) -> list[Check]:
        if self._loaded is None:
            return [Check("gallery", "skipped", "not read without models")]
        with closing(open_people(self._settings)) as people:
            view = open_gallery(self._settings, self._loaded, people).view(datetime.now(UTC))
        number = len(view.person_ids)
        notes = [Check("gallery", "warning", note) for note in view.notes] + self._unsealed()
        if not number:
            text = "nobody may be matched, so everybody stays unknown: enrol with 'faceline enroll PERSON PHOTO…'"
            return [Check("gallery", "warning", text, {"people": 0}), *notes]
        text = f"{number} {'person' if number == 1 else 'people'} may be matched"
        return [Check("gallery", "ok", text, {"people": number, "version": view.version}), *notes]

    def _unsealed(self) -> list[Check]:
        """Of a gallery that is to be sealed: who enrolled without the key."""
        if not (self._settings.kafka.bootstrap_servers and self._settings.encryption.key_file):
            return []
        number = take(self._settings).num_plain
        if not number:
            return []
        text = f"{_count(number, 'record')} on {self._settings.topics.gallery} not sealed: enrol these people again"
        return [Check("gallery", "warning", f"{text}, with encryption.key_file set")]

    def _broker(self) -> list[Check]:
        kafka = self._settings.kafka
        found = brokers(self._settings)
        who = f"as {kafka.sasl_username} by {kafka.sasl_mechanism}" if "SASL" in kafka.security_protocol else "nameless"
        how = "over TLS" if kafka.security_protocol.endswith("SSL") else "unencrypted"
        text = f"{_count(len(found), 'broker')} at {', '.join(found)}, {who}, {how}"
        return [Check("broker", "ok", text, {"brokers": list(found)})]

    def _topics(self) -> list[Check]:
        findings = check(self._settings)
        found = [
            Check(
                "topics",
                "failed" if f.fatal else "warning",
                f"{f.topic}: {f.text}",
                {"missing": f.topic} if f.missing else {},
            )
            for f in findings
        ]
        return found or [Check("topics", "ok", f"all {len(specs(self._settings))} are as they should be")]

    def _rights(self) -> list[Check]:
        missing = lacking(self._settings)
        cure = "grant what 'faceline topics rights' prints"
        if missing:
            return [Check("rights", "failed", f"this user lacks {right}: {cure}") for right in missing]
        return [Check("rights", "ok", "a worker may do everything it needs")]

    def _frames(self) -> list[Check]:
        topic, newest_us = self._settings.topics.frames, newest_frame_us(self._settings)
        if newest_us is None:
            return [Check("frames", "ok", f"{topic} holds none yet")]
        age = time.time() - newest_us / 1e6
        details = {"newest_age_seconds": round(age, 3)}
        if age < -_CLOCK_SECONDS:
            text = (
                f"{topic}: the newest frame is {-age:.0f} s in the future: set the clocks of cameras and workers by NTP"
            )
            return [Check("frames", "warning", text, details)]
        return [Check("frames", "ok", f"{topic}: the newest is {max(0.0, age):.0f} s old", details)]

    def _group(self) -> list[Check]:
        name, found = self._settings.service.application_id, group(self._settings)
        behind = sum(found.lags.values())
        details = {"state": found.state, "members": found.num_members, "lag_by_partition": dict(found.lags)}
        text = f"{name}: {_count(found.num_members, 'worker')}"
        if not found.lags:
            return [Check("group", "ok", f"{text}, nothing committed yet", details)]
        most = max(found.lags, key=lambda number: found.lags[number])
        text += f", {behind} records behind" + (f", most on partition {most}: {found.lags[most]}" if behind else "")
        return [Check("group", "ok", text, details)]


def _bounded(name: str, function: Callable[[], list[Check]], seconds: float) -> list[Check]:
    """What ``function`` finds, or that it failed, or that it didn't answer in time."""
    answers: Queue[list[Check]] = Queue()

    def ask() -> None:
        try:
            answers.put(function())
        except FacelineError as error:
            answers.put([Check(name, "failed", str(error))])
        except Exception as error:  # a finding too: the other checks are still wanted
            answers.put([Check(name, "failed", f"{type(error).__name__}: {error}: please report it")])

    # A daemon: an abandoned check must not keep the process.
    Thread(target=ask, name=f"check-{name}", daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except Empty:
        return [Check(name, "failed", f"no answer within {seconds:g} s: look into the broker's log and the network")]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
