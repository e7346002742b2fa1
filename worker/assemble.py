"""From settings to running parts: models loaded and checked, engines opened, gallery and pipeline joined."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worker.engines.engine import Engine
from worker.engines.int8 import int8_of, load_int8
from worker.engines.models import RecognizerModel, load, load_recognizer, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.engines.parity import Engines, require_parity
from worker.errors import InvalidSettings
from worker.gallery.folder import FolderGallery
from worker.gallery.index import Policy
from worker.gallery.live import LiveGallery
from worker.gallery.source import People, PeopleSource
from worker.messages import EventContext, ModelsMessage
from worker.pipeline import Meter, Models, Pipeline
from worker.settings import Settings

DETECTOR, EMBEDDER = "yunet", "sface"

Network = Literal["detector", "embedder", "recognizer", "enrol"]
Kind = Literal["onnxruntime", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8"]
REFERENCE: tuple[Kind, Precision] = ("onnxruntime", "fp32")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that was read from model files."""

    models: Models
    enrol: Engine
    recognizer: RecognizerModel
    embedder_digest: str
    context: EventContext


def open_models(settings: Settings) -> Loaded:
    """Load and check all models; engines that aren't the reference are held against it.

    Raises ``ModelError`` with the command that cures it.
    """
    chosen = choose(settings)
    recognizer = load_recognizer(settings.models.recognizer_dir)
    engines = open_engines(*chosen, settings)
    if chosen != REFERENCE:
        check_parity(engines, chosen[1], settings)
    models = Models(
        detector=engines.detector,
        embedder=engines.embedder,
        recognizer=engines.recognizer,
        calibration=recognizer.calibration,
        horizon=recognizer.horizon,
    )
    embedder = manifests()[EMBEDDER].sha256
    return Loaded(models, engines.enrol, recognizer, embedder, _context(settings, recognizer.digest, chosen[1]))


def choose(settings: Settings) -> tuple[Kind, Precision]:
    """What runs the networks, and how exactly. Raises ``InvalidSettings`` where that can't be had."""
    if settings.engine.kind == "tensorrt":
        raise InvalidSettings("engine.kind is tensorrt, which this version can't run: set it to onnxruntime or auto")
    return "onnxruntime", settings.engine.precision


def open_engines(kind: Kind, precision: Precision, settings: Settings) -> Engines:
    """All four networks. Raises like ``open_engine``."""
    return Engines(
        detector=open_engine("detector", kind, precision, settings),
        embedder=open_engine("embedder", kind, precision, settings),
        recognizer=open_engine("recognizer", kind, precision, settings),
        enrol=open_engine("enrol", kind, precision, settings),
    )


def open_engine(network: Network, kind: Kind, precision: Precision, settings: Settings) -> Engine:
    """One network, loaded and its digest checked. int8 is of the embedder; on the CPU the others run in fp32.

    Raises ``ModelError`` with the command that cures it, ``InvalidSettings`` for what the kind can't do.
    """
    if kind == "tensorrt":
        raise InvalidSettings("engine.kind is tensorrt, which this version can't run: set it to onnxruntime or auto")
    if precision == "fp16":
        raise InvalidSettings("engine.precision is fp16, which needs TensorRT: on the CPU set it to fp32 or int8")
    known = manifests()
    if network == "detector":
        return OnnxRuntimeEngine(load(known[DETECTOR], settings.models.dir))
    if network == "embedder" and precision == "int8":
        return OnnxRuntimeEngine(load_int8(known[EMBEDDER], settings.models.dir, "uint8"))
    if network == "embedder":
        return OnnxRuntimeEngine(load(known[EMBEDDER], settings.models.dir))
    recognizer = load_recognizer(settings.models.recognizer_dir)
    return OnnxRuntimeEngine(recognizer.enrol if network == "enrol" else recognizer.recognizer)


def check_parity(engines: Engines, precision: Precision, settings: Settings) -> None:
    """Hold the engines against the reference, which is opened for it. Raises ``ModelError`` where they differ."""
    reference = open_engines(*REFERENCE, settings)
    try:
        require_parity(engines, reference, precision)
    finally:
        for engine in (reference.detector, reference.embedder, reference.recognizer, reference.enrol):
            engine.close()


def _context(settings: Settings, recognizer_digest: str, precision: Precision) -> EventContext:
    """Precision is part of what decides events, so of their ids; templates carry the fp32 model's digest in any."""
    known = manifests()
    detector, embedder = known[DETECTOR], known[EMBEDDER]
    digests = [detector.sha256, embedder.sha256, recognizer_digest]
    everything = [*digests, detector.rewrite, embedder.rewrite, settings.digest()]
    if precision != "fp32":
        everything.append(f"precision {precision}")
    if precision == "int8":
        digests[1] = int8_of(embedder).digest
        everything.append(digests[1])
    return EventContext(
        digest=hashlib.sha256("\n".join(everything).encode()).hexdigest(),
        models=ModelsMessage(detector=digests[0][:12], embedder=digests[1][:12], recognizer=digests[2][:12]),
    )


def open_pipeline(settings: Settings, loaded: Loaded, meter: Meter | None = None) -> Pipeline:
    """The pipeline with the settings' options."""
    return Pipeline(loaded.models, settings.pipeline_options(), meter)


def open_people(settings: Settings, folder: Path | None = None) -> People:
    """Where people are kept: ``folder`` if given, else the topic where a broker is configured, else the local folder.

    Close it. Raises ``Retryable`` where the broker can't be reached.
    """
    if folder is None and settings.kafka.bootstrap_servers:
        from worker.gallery.topic import TopicGallery  # the Kafka client takes long to import, and files need none

        return TopicGallery(settings)
    return FolderGallery(folder or settings.gallery.dir)


def open_gallery(settings: Settings, loaded: Loaded, source: PeopleSource | None = None) -> LiveGallery:
    """A gallery (default: the one of ``open_people``) as this worker's purpose, tenant and rates let it be seen."""
    policy = Policy(
        settings.gallery.purpose, settings.gallery.tenant, settings.gallery.fpir, settings.gallery.tentative_fpir
    )
    return LiveGallery(
        source or open_people(settings), policy, loaded.enrol, loaded.embedder_digest, loaded.recognizer.impostors
    )
