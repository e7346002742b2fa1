"""Who is measured: the whole pipeline, and a plain loop of OpenCV's own classes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import cv2
import numpy as np

from worker.assemble import Loaded, open_gallery, open_models
from worker.demo.footage import COLLINS
from worker.engines.models import manifests, original_path
from worker.gallery.enrol import template_from_photo
from worker.gallery.folder import FolderGallery
from worker.gallery.records import PersonRecord
from worker.metrics import Metrics
from worker.pipeline import CameraState, FrameIn, Home, Pipeline
from worker.settings import Settings
from worker.sources import encode_jpeg
from worker.stages.sample import SampleOptions
from worker.types import FrameRef, Image

PERSON = "eileen_collins"
FPS = 15
SCORE = 0.6  # faces below are ignored by the loop; ours begins a track at 0.65
COSINE = 0.363  # the threshold that OpenCV's samples recommend for SFace


@dataclass(frozen=True, slots=True)
class Seen:
    """What a contender found in a frame."""

    num_faces: int
    names: tuple[str, ...]


class Contender(Protocol):
    """Takes encoded frames of one camera, in order."""

    def process(self, value: bytes) -> Seen:
        """Decode, find, describe and name every face."""
        ...


class Faceline:
    """The whole pipeline: also tracks, reads the sequence, decides."""

    def __init__(self, settings: Settings, *, every_face: bool) -> None:
        loaded = open_models(settings)
        options = settings.pipeline_options()
        if every_face:
            options = replace(
                options,
                sample=SampleOptions(open_interval_seconds=0, confirmed_interval_seconds=0, unknown_interval_seconds=0),
            )
        self.metrics = Metrics()
        self._pipeline = Pipeline(loaded.models, options, self.metrics)
        self._states: dict[Home, CameraState] = {}
        with TemporaryDirectory() as folder:
            gallery = FolderGallery(Path(folder))
            gallery.put(_record(settings, loaded))
            self._view = open_gallery(settings, loaded, gallery).view(datetime.now(UTC))
        self._number = 0

    def process(self, value: bytes) -> Seen:
        """One frame."""
        time_us = 1_000_000 * self._number // FPS
        frame = FrameIn(FrameRef("bench", "bench", 0, self._number, time_us), time_us, value)
        self._number += 1
        results, changed = self._pipeline.process([frame], self._states, self._view)
        self._states.update(changed)
        seen = [view for view in results[0].tracks if view.update.face_index >= 0]
        return Seen(len(seen), tuple(sorted(v.identity.person_id for v in seen if v.identity.person_id)))


class OpenCv:
    """FaceDetectorYN and FaceRecognizerSF on every frame and every face, as their documentation shows them."""

    def __init__(self, settings: Settings, *, max_side: int | None) -> None:
        known, cache = manifests(), settings.models.dir
        self._detector = cv2.FaceDetectorYN.create(
            str(original_path(known["yunet"], cache)), "", (320, 320), SCORE, 0.3, 5000
        )
        self._recognizer = cv2.FaceRecognizerSF.create(str(original_path(known["sface"], cache)), "")
        self._max_side = max_side
        photo = COLLINS.image()
        self._template = self._describe(photo, self._find(photo))[0]

    def process(self, value: bytes) -> Seen:
        """One frame."""
        image = cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)
        faces = self._find(image)
        cosines = [float(vector @ self._template) for vector in self._describe(image, faces)]
        return Seen(len(faces), tuple(PERSON for cosine in cosines if cosine >= COSINE))

    def _find(self, image: Image) -> np.ndarray:
        """Rows [n, 15] as FaceDetectorYN gives them, in pixels of ``image``."""
        factor = 1.0 if self._max_side is None else min(1.0, self._max_side / max(image.shape[:2]))
        small = image if factor == 1.0 else cv2.resize(image, None, fx=factor, fy=factor)
        self._detector.setInputSize((small.shape[1], small.shape[0]))
        _, faces = self._detector.detect(small)
        if faces is None:
            return np.zeros((0, 15), np.float32)
        return np.hstack([faces[:, :14] / factor, faces[:, 14:]]).astype(np.float32)

    def _describe(self, image: Image, faces: np.ndarray) -> list[np.ndarray]:
        vectors = [self._recognizer.feature(self._recognizer.alignCrop(image, face))[0] for face in faces]
        return [vector / np.linalg.norm(vector) for vector in vectors]


CONTENDERS: dict[str, Callable[[Settings], Contender]] = {
    "faceline, every face": lambda settings: Faceline(settings, every_face=True),
    "faceline, as shipped": lambda settings: Faceline(settings, every_face=False),
    "OpenCV, full size": lambda settings: OpenCv(settings, max_side=None),
    "OpenCV, at our size": lambda settings: OpenCv(settings, max_side=settings.detect.max_side_pixels),
}


def _record(settings: Settings, loaded: Loaded) -> PersonRecord:
    now = datetime.now(UTC)
    template = template_from_photo(
        encode_jpeg(COLLINS.image()),
        loaded.models.detector,
        loaded.models.embedder,
        loaded.embedder_digest,
        now,
        settings.enrol,
        settings.decode,
    )
    return PersonRecord(person_id=PERSON, templates=(template,), consent_time=now)
