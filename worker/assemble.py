"""From settings to running parts: models loaded and checked, engines opened, gallery and pipeline joined."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that was read from model files."""

    models: Models
    enrol: OnnxRuntimeEngine
    recognizer: RecognizerModel
    embedder_digest: str
    context: EventContext


def open_models(settings: Settings) -> Loaded:
    """Load and check all models. Raises ``ModelError`` with the command that cures it."""
    known = manifests()
    detector, embedder = known[DETECTOR], known[EMBEDDER]
    recognizer = load_recognizer(settings.models.recognizer_dir)
    models = Models(
        detector=OnnxRuntimeEngine(load(detector, settings.models.dir)),
        embedder=OnnxRuntimeEngine(load(embedder, settings.models.dir)),
        recognizer=OnnxRuntimeEngine(recognizer.recognizer),
        calibration=recognizer.calibration,
        horizon=recognizer.horizon,
    )
    digests = (detector.sha256, embedder.sha256, recognizer.digest)
    everything = "\n".join((*digests, detector.rewrite, embedder.rewrite, settings.digest()))
    context = EventContext(
        digest=hashlib.sha256(everything.encode()).hexdigest(),
        models=ModelsMessage(detector=digests[0][:12], embedder=digests[1][:12], recognizer=digests[2][:12]),
    )
    return Loaded(models, OnnxRuntimeEngine(recognizer.enrol), recognizer, embedder.sha256, context)


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
