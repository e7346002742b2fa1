"""Do two sets of engines say the same? Asked at a worker's start, on inputs drawn by code, and by ``faceline compare``.

Networks are compared by what the pipeline takes from them: faces found, directions of embeddings, templates of tracks.
"""

from dataclasses import dataclass

import numpy as np

from worker.engines.drawn import NUM_DRAWN, sequences, street
from worker.engines.engine import Engine
from worker.errors import ParityFailed
from worker.stages.align import align
from worker.stages.detect import DetectOptions, detect, detect_all
from worker.stages.embed import MAX_BATCH, embed
from worker.stages.recognize import blank_state, recognize
from worker.types import Faces, Float32, Image

NUM_FRAMES, NUM_TRACKS, TRACK_LENGTH = 2, 3, 8
_CLEAR = 0.1  # how far above the threshold a drawn face must score for its absence to mean something


@dataclass(frozen=True, slots=True)
class Engines:
    """The four networks, opened somewhere."""

    detector: Engine
    embedder: Engine
    recognizer: Engine
    enrol: Engine


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from the fp32 reference a precision may be. Lengths in pixels of the frame."""

    box_pixels: float
    score: float  # of a detection
    embedding_cosine: float  # least
    embedding_length: float  # relative
    template_cosine: float  # least
    summary: float  # of weight, certainty, scale, shift and alarm


# The reasons for these numbers are in docs/precision.md.
TOLERANCES = {
    "fp32": Tolerance(0.05, 0.001, 0.9999, 0.001, 0.9999, 0.001),
    "fp16": Tolerance(1.0, 0.02, 0.999, 0.01, 0.999, 0.03),
    "int8": Tolerance(1.0, 0.02, 0.98, 0.1, 0.999, 0.03),
}


@dataclass(frozen=True, slots=True)
class Served:
    """How engines are run where they serve.

    ``max_side_pixels``: engines may be made for no larger pictures. ``frames`` and ``faces``: in one run of the
    detector, of the embedder. ``runs`` of the same input: as many as it takes until recorded graphs answer.
    """

    max_side_pixels: int = 640
    frames: int = 1
    runs: int = 1
    faces: int = MAX_BATCH


@dataclass(frozen=True, slots=True)
class Row:
    """One thing compared: the worst case found, and what it may be."""

    network: str
    measure: str
    worst: float
    tolerance: float
    at_least: bool = False  # else at most

    @property
    def agrees(self) -> bool:
        """Whether the worst case is tolerated; what isn't a number never is."""
        return self.worst >= self.tolerance if self.at_least else self.worst <= self.tolerance


def compare(engines: Engines, reference: Engines, precision: str, served: Served | None = None) -> tuple[Row, ...]:
    """All rows, in the pipeline's order. The reference is ONNX Runtime in fp32; nothing is random."""
    tolerance, served = TOLERANCES[precision], served or Served()
    frames = street(NUM_FRAMES)
    known = [detect(frame, reference.detector, DetectOptions()) for frame in frames]
    crops = np.concatenate([align(f, faces, list(range(len(faces)))) for f, faces in zip(frames, known, strict=True)])
    return (
        *_detections(frames, engines.detector, reference.detector, served, tolerance),
        *_embeddings(crops, engines.embedder, reference.embedder, served, tolerance),
        *_templates(engines, reference, tolerance),
    )


def require_parity(
    engines: Engines, reference: Engines, precision: str, served: Served | None = None
) -> tuple[Row, ...]:
    """The rows, all of which agree. Raises ``ParityFailed`` that names the first which doesn't."""
    rows = compare(engines, reference, precision, served)
    for row in rows:
        if not row.agrees:
            bound = "at least" if row.at_least else "at most"
            name = getattr(engines, row.network).name
            raise ParityFailed(
                row.network,
                f"{row.network} on {name} in {precision} isn't the reference's equal: {row.measure} {row.worst:.5g}, "
                f"{bound} {row.tolerance:g} expected: run 'faceline compile --force' or 'faceline models pull', "
                "see 'faceline compare', or set engine.precision to fp32",
            )
    return rows


def _detections(
    frames: list[Image], engine: Engine, reference: Engine, served: Served, tolerance: Tolerance
) -> list[Row]:
    """Only frames all of whose faces are clear at this size: one at the threshold comes and goes by rounding."""
    options = DetectOptions(max_side_pixels=served.max_side_pixels)
    known = [(frame, detect(frame, reference, options)) for frame in frames]
    clear = [
        (frame, faces)
        for frame, faces in known
        if len(faces) == NUM_DRAWN and faces.scores.min() > options.min_score + _CLEAR
    ]
    if not clear:
        return [Row("detector", f"not compared: no clear face at {served.max_side_pixels} pixels", 0, 0)]
    batch = [clear[number % len(clear)] for number in range(max(len(clear), served.frames))]
    found: list[Faces] = []
    for _ in range(served.runs):
        for start in range(0, len(batch), served.frames):
            found += detect_all([frame for frame, _ in batch[start : start + served.frames]], engine, options)
    return _faces(found, [faces for _, faces in batch] * served.runs, tolerance)


def _faces(found: list[Faces], expected: list[Faces], tolerance: Tolerance) -> list[Row]:
    missing = sum(abs(len(a) - len(b)) for a, b in zip(found, expected, strict=True))
    rows = [Row("detector", "faces more or fewer", missing, 0)]
    if missing:
        return rows
    pixels, scores = [0.0], [0.0]
    for ours, theirs in zip(found, expected, strict=True):
        # Equal scores may change places: faces are told apart by where they are.
        one, other = (np.argsort(faces.boxes_xyxy[:, 0], kind="stable") for faces in (ours, theirs))
        pixels.append(float(np.abs(ours.boxes_xyxy[one] - theirs.boxes_xyxy[other]).max()))
        pixels.append(float(np.abs(ours.landmarks_xy[one] - theirs.landmarks_xy[other]).max()))
        scores.append(float(np.abs(ours.scores[one] - theirs.scores[other]).max()))
    rows.append(Row("detector", "boxes and landmarks, pixels", float(np.max(pixels)), tolerance.box_pixels))
    rows.append(Row("detector", "score", float(np.max(scores)), tolerance.score))
    return rows


def _embeddings(crops: Image, engine: Engine, reference: Engine, served: Served, tolerance: Tolerance) -> list[Row]:
    ours = np.concatenate([embed(crops, engine, max_batch=served.faces) for _ in range(served.runs)])
    theirs = np.tile(embed(crops, reference), (served.runs, 1))
    lengths = np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return [
        Row("embedder", "cosine", _least_cosine(ours, theirs), tolerance.embedding_cosine, at_least=True),
        Row("embedder", "length, relative", float(np.abs(lengths - 1).max()), tolerance.embedding_length),
    ]


def _templates(engines: Engines, reference: Engines, tolerance: Tolerance) -> list[Row]:
    frames_bte = sequences(NUM_TRACKS, TRACK_LENGTH)
    (ours, our_summary), (theirs, their_summary) = (_read(frames_bte, side.recognizer) for side in (engines, reference))
    photos = {"embedding": np.ascontiguousarray(frames_bte[:, 0])}
    enrolled, expected = engines.enrol.run(photos), reference.enrol.run(photos)
    return [
        Row("recognizer", "template cosine", _least_cosine(ours, theirs), tolerance.template_cosine, at_least=True),
        Row("recognizer", "summary", float(np.abs(our_summary - their_summary).max()), tolerance.summary),
        Row(
            "enrol",
            "template cosine",
            _least_cosine(enrolled["template"], expected["template"]),
            tolerance.template_cosine,
            at_least=True,
        ),
        Row("enrol", "head", float(np.abs(enrolled["head"] - expected["head"]).max()), tolerance.summary),
    ]


def _read(frames_bte: Float32, engine: Engine) -> tuple[Float32, Float32]:
    """Templates [B, 128] after all frames; share of the last frame's weight, certainty, scale, shift [B, 4]."""
    states = np.stack([blank_state(engine)] * len(frames_bte))
    for t in range(frames_bte.shape[1]):
        answers, states = recognize(states, np.ascontiguousarray(frames_bte[:, t]), engine)
    summary = [(a.weight / a.total_weight, a.first_person, a.scale, a.shift, a.alarm) for a in answers]
    return np.stack([answer.template for answer in answers]), np.array(summary, np.float32)


def _least_cosine(ours: Float32, theirs: Float32) -> float:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(1) / lengths).min())
