"""From settings to running parts: models loaded and checked, engines opened, gallery and pipeline joined."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from worker.engines.choice import Choice, Computing, EngineKind, choose
from worker.engines.models import RecognizerModel, load, load_recognizer, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.gallery.folder import FolderGallery
from worker.gallery.index import Policy
from worker.gallery.live import LiveGallery
from worker.gallery.source import People, PeopleSource
from worker.messages import EventContext, ModelsMessage
from worker.pipeline import Meter, Models, Pipeline
from worker.settings import Settings

DETECTOR, EMBEDDER = "yunet", "sface"

logger = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[str], None]


def _silent(text: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that was read from model files, and what computes it."""

    models: Models
    enrol: OnnxRuntimeEngine
    recognizer: RecognizerModel
    embedder_digest: str
    context: EventContext
    choice: Choice
    computing: Mapping[str, Computing]  # by detector, embedder, recognizer


def open_models(settings: Settings, kind: EngineKind | None = None, progress: Progress = _silent) -> Loaded:
    """Load and check all models. ``kind``: instead of ``engine.kind``.

    ``progress`` is told what takes minutes, in words for people: compiling. What it raises ends that.
    The engine is chosen once, by hardware where the kind is ``auto``; what fails after that isn't replaced by another.
    Raises ``ModelError`` and ``InvalidSettings`` with the command that cures it.
    """
    known = manifests()
    detector, embedder = known[DETECTOR], known[EMBEDDER]
    recognizer = load_recognizer(settings.models.recognizer_dir)
    choice = choose_engine(settings, kind or settings.engine.kind)
    level = logging.WARNING if choice.idle_gpu else logging.INFO
    logger.log(level, "engine %s, precision %s: %s", choice.kind, settings.engine.precision, choice.reason)
    if choice.kind == "tensorrt":
        models, computing = _on_gpu(settings, recognizer, progress)
    else:
        models, computing = _on_cpu(settings, recognizer)
    digests = (detector.sha256, embedder.sha256, recognizer.digest)
    engines = sorted({one.engine for one in computing.values()})
    everything = "\n".join((*digests, detector.rewrite, embedder.rewrite, *engines, settings.digest()))
    context = EventContext(
        digest=hashlib.sha256(everything.encode()).hexdigest(),
        models=ModelsMessage(detector=digests[0][:12], embedder=digests[1][:12], recognizer=digests[2][:12]),
    )
    enrol = OnnxRuntimeEngine(recognizer.enrol)
    return Loaded(models, enrol, recognizer, embedder.sha256, context, choice, computing)


def choose_engine(settings: Settings, kind: EngineKind) -> Choice:
    """What computes, and why. Raises ``ModelError`` where TensorRT is asked for by name and can't be used."""

    def gpu() -> str:
        from worker.accelerate import described_gpu  # CUDA is looked for only where it may be used

        return described_gpu(settings)

    def library() -> str:
        from worker.accelerate import described_library

        return described_library()

    return choose(kind, gpu, library)


def _on_cpu(settings: Settings, recognizer: RecognizerModel) -> tuple[Models, dict[str, Computing]]:
    """ONNX Runtime takes frames one by one, since batches are slower there."""
    known = manifests()
    models = Models(
        detector=OnnxRuntimeEngine(load(known[DETECTOR], settings.models.dir)),
        embedder=OnnxRuntimeEngine(load(known[EMBEDDER], settings.models.dir)),
        recognizer=OnnxRuntimeEngine(recognizer.recognizer),
        calibration=recognizer.calibration,
        horizon=recognizer.horizon,
    )
    engines = {"detector": models.detector, "embedder": models.embedder, "recognizer": models.recognizer}
    return models, {name: Computing(engine.name, "fp32") for name, engine in engines.items()}


def _on_gpu(settings: Settings, recognizer: RecognizerModel, progress: Progress) -> tuple[Models, dict[str, Computing]]:
    """Frames of one size go together, whatever camera they are of."""
    from worker.accelerate import open_accelerated

    opened = open_accelerated(settings, progress)
    models = Models(
        detector=opened.detector,
        embedder=opened.embedder,
        recognizer=opened.recognizer,
        calibration=recognizer.calibration,
        horizon=recognizer.horizon,
        detector_batch=opened.detector.rows,
        embedder_batch=opened.embedder.rows,
    )
    return models, opened.computing


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
