"""From settings to running parts: models loaded and checked, engines opened, gallery and pipeline joined."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from worker.engines.choice import Choice, Computing, EngineKind, Kind
from worker.engines.choice import choose as choose_by_hardware
from worker.engines.engine import Engine, Precision
from worker.engines.graphs import CAPTURED_AT
from worker.engines.int8 import int8_of, load_int8
from worker.engines.models import DETECTOR, EMBEDDER, RecognizerModel, load, load_recognizer, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.engines.parity import Engines, Row, Served, require_parity
from worker.errors import InvalidSettings
from worker.gallery.folder import FolderGallery
from worker.gallery.index import Policy
from worker.gallery.live import LiveGallery
from worker.gallery.source import People, PeopleSource
from worker.messages import EventContext, ModelsMessage
from worker.pipeline import Meter, Models, Pipeline
from worker.settings import Settings
from worker.stages.embed import MAX_BATCH

Network = Literal["detector", "embedder", "recognizer", "enrol"]
Progress: TypeAlias = Callable[[str], None]
REFERENCE: tuple[Kind, Precision] = ("onnxruntime", "fp32")

logger = logging.getLogger(__name__)


def _silent(text: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that was read from model files, and what computes it."""

    models: Models
    enrol: Engine
    recognizer: RecognizerModel
    embedder_digest: str
    context: EventContext
    choice: Choice
    computing: Mapping[str, Computing]  # by network


def open_models(settings: Settings, kind: EngineKind | None = None, progress: Progress = _silent) -> Loaded:
    """Load and check all models; engines that aren't the reference are held against it. ``kind``: not ``engine.kind``.

    The engine is chosen once, by hardware where the kind is ``auto``; what fails after that isn't replaced by another.
    ``progress`` is told what takes minutes, in words for people: compiling. What it raises ends that.
    Raises ``ModelError`` and ``InvalidSettings`` with the command that cures it.
    """
    choice = choose_engine(settings, kind or settings.engine.kind)
    precision = settings.engine.precision
    level = logging.WARNING if choice.idle_gpu else logging.INFO
    logger.log(level, "engine %s, precision %s: %s", choice.kind, precision, choice.reason)
    recognizer = load_recognizer(settings.models.recognizer_dir)
    engines, computing = _open_all(choice.kind, precision, settings, progress)
    if (choice.kind, precision) != REFERENCE:
        check_parity(engines, choice.kind, precision, settings)
    on_gpu = choice.kind == "tensorrt"
    models = Models(
        detector=engines.detector,
        embedder=engines.embedder,
        recognizer=engines.recognizer,
        calibration=recognizer.calibration,
        horizon=recognizer.horizon,
        detector_batch=settings.engine.max_frames if on_gpu else 1,
        embedder_batch=settings.engine.max_faces if on_gpu else MAX_BATCH,
    )
    context = _context(settings, recognizer.digest, precision, computing)
    return Loaded(models, engines.enrol, recognizer, manifests()[EMBEDDER].sha256, context, choice, computing)


def choose(settings: Settings) -> tuple[Kind, Precision]:
    """What runs the networks, and how exactly; see ``choose_engine``."""
    return choose_engine(settings, settings.engine.kind).kind, settings.engine.precision


def choose_engine(settings: Settings, kind: EngineKind) -> Choice:
    """What computes, and why. Raises ``ModelError`` where TensorRT is asked for by name and can't be used."""

    def gpu() -> str:
        from worker.accelerate import described_gpu  # CUDA is looked for only where it may be used

        return described_gpu(settings)

    def library() -> str:
        from worker.accelerate import described_library

        return described_library()

    return choose_by_hardware(kind, gpu, library)


def open_engines(kind: Kind, precision: Precision, settings: Settings, progress: Progress = _silent) -> Engines:
    """All four networks. Raises like ``open_engine``."""
    return _open_all(kind, precision, settings, progress)[0]


def open_engine(
    network: Network, kind: Kind, precision: Precision, settings: Settings, progress: Progress = _silent
) -> Engine:
    """One network, loaded and its digest checked. int8 is of the embedder; on the CPU the others run in fp32.

    With TensorRT the gallery's side, ``enrol``, stays on the CPU: it runs when the gallery changes.
    Raises ``ModelError`` with the command that cures it, ``InvalidSettings`` for what the kind can't do.
    """
    return _open(network, kind, precision, settings, progress)[0]


def served_by(kind: Kind, settings: Settings) -> Served:
    """How a worker runs engines of that kind; thresholds are no part of it."""
    side, engine = settings.detect.max_side_pixels, settings.engine
    if kind == "tensorrt":
        return Served(side, engine.max_frames, CAPTURED_AT + 1, engine.max_faces)
    return Served(side)


def check_parity(engines: Engines, kind: Kind, precision: Precision, settings: Settings) -> tuple[Row, ...]:
    """Hold the engines against the reference, which is opened for it. Raises ``ParityFailed`` where they differ."""
    reference = open_engines(*REFERENCE, settings)
    try:
        return require_parity(engines, reference, precision, served_by(kind, settings))
    finally:
        for engine in (reference.detector, reference.embedder, reference.recognizer, reference.enrol):
            engine.close()


def _open_all(
    kind: Kind, precision: Precision, settings: Settings, progress: Progress
) -> tuple[Engines, dict[str, Computing]]:
    """All four networks, or none: where one can't be had, those before it are closed."""
    opened: dict[Network, Engine] = {}
    computing: dict[str, Computing] = {}
    with ExitStack() as stack:
        for network in get_args(Network):
            engine, computing[network] = _open(network, kind, precision, settings, progress)
            opened[network] = stack.enter_context(engine)
        stack.pop_all()
    return Engines(opened["detector"], opened["embedder"], opened["recognizer"], opened["enrol"]), computing


def _open(
    network: Network, kind: Kind, precision: Precision, settings: Settings, progress: Progress
) -> tuple[Engine, Computing]:
    if kind == "tensorrt" and network != "enrol":
        from worker.accelerate import open_accelerated

        return open_accelerated(network, precision, settings, progress)
    if kind == "onnxruntime" and precision == "fp16":
        raise InvalidSettings("engine.precision is fp16, which needs TensorRT: on the CPU set it to fp32 or int8")
    own: Precision = "int8" if network == "embedder" and precision == "int8" else "fp32"
    engine = OnnxRuntimeEngine(_model(network, own, settings))
    return engine, Computing(engine.name, own)


def _model(network: Network, precision: Precision, settings: Settings) -> bytes:
    """The network as ONNX Runtime takes it."""
    known = manifests()
    if network == "detector":
        return load(known[DETECTOR], settings.models.dir)
    if network == "embedder" and precision == "int8":
        return load_int8(known[EMBEDDER], settings.models.dir, "uint8")
    if network == "embedder":
        return load(known[EMBEDDER], settings.models.dir)
    recognizer = load_recognizer(settings.models.recognizer_dir)
    return recognizer.enrol if network == "enrol" else recognizer.recognizer


def _context(
    settings: Settings, recognizer_digest: str, precision: Precision, computing: Mapping[str, Computing]
) -> EventContext:
    """Engine and precision are part of what decides events, so of their ids (decisions 10 and 11).

    Templates carry the fp32 model's digest in any.
    """
    known = manifests()
    detector, embedder = known[DETECTOR], known[EMBEDDER]
    digests = [detector.sha256, embedder.sha256, recognizer_digest]
    if precision == "int8":
        digests[1] = int8_of(embedder).digest
    engines = sorted({one.engine for one in computing.values()})
    everything = [*digests, detector.rewrite, embedder.rewrite, *engines, settings.digest()]
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
