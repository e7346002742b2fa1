"""The accuracy guard: does a cheaper precision still tell people apart? ``python -m worker.evaluation.precision``.

Verification on people who trained nothing and calibrated nothing. The conversion fails (exit code 1) where a drop of
the true accept rate at FAR 1e-3 is surely above 0.1 point: where the whole interval of a paired bootstrap over
identities lies above it.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from worker.engines.models import DETECTOR, load, load_recognizer, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.evaluation.embedders import PRECISIONS, embedded, open_embedder
from worker.evaluation.metrics import Comparisons, bootstrap_drop, tar_at
from worker.evaluation.precision import footage, protocols, report
from worker.evaluation.precision.calibrate import SHIPPED
from worker.evaluation.precision.report import TOLERATED, Result
from worker.settings import Settings, load_settings
from worker.training.data import EmbeddedFaces
from worker.training.sequences import split_people

FAR = 1e-3
REFERENCE = "fp32"


def judge(protocol: str, comparisons: dict[str, Comparisons], rounds: int, seed: int = 0) -> list[Result]:
    """A result for each precision; the reference comes first."""
    reference = comparisons[REFERENCE]
    people = len(np.unique(np.concatenate([reference.genuine_person, reference.impostor_persons.ravel()])))
    return [
        Result(
            protocol, precision, people, len(made.genuine), len(made.impostor),
            tar_at(made.genuine, made.impostor, FAR),
            None if precision == REFERENCE else bootstrap_drop(reference, made, FAR, rounds=rounds, seed=seed),
        )
        for precision, made in comparisons.items()
    ]  # fmt: skip


def on_photos(
    faces: dict[str, EmbeddedFaces], network: protocols.Recognizer, rounds: int, tell: Callable[[str], None]
) -> list[Result]:
    """Photos, poor photos and composed tracks; the last row of each enrols in fp32 and looks in int8."""
    pairs = {name: (faces[name], faces[name]) for name in faces} | {"fp32 → int8": (faces["fp32"], faces["int8"])}
    unseen = split_people(faces[REFERENCE].names)["test"]
    results = []
    for title, compare in (
        ("photos", protocols.photos),
        ("poor photos", protocols.poor_photos),
        ("tracks of 8 poor frames", lambda a, b: protocols.tracks(a, b, unseen, network)),
    ):
        tell(f"comparing {title}")
        results += judge(title, {name: compare(*pair) for name, pair in pairs.items()}, rounds)
    return results


def on_footage(
    folder: Path, settings: Settings, network: protocols.Recognizer, rounds: int, tell: Callable[[str], None]
) -> list[Result]:
    """Real tracks of eight frames, across sessions."""
    with OnnxRuntimeEngine(load(manifests()[DETECTOR], settings.models.dir)) as detector:
        sessions = footage.read_sessions(folder, detector)
    vectors = {}
    for precision in PRECISIONS:
        tell(f"embedding footage in {precision}")
        with open_embedder(precision, settings)[0] as embedder:
            vectors[precision] = footage.describe(sessions, embedder)
    pairs = {name: (vectors[name], vectors[name]) for name in vectors}
    pairs["fp32 → int8"] = (vectors["fp32"], vectors["int8"])
    made = {name: footage.compare_footage(sessions, *pair, network) for name, pair in pairs.items()}
    return judge("webcam tracks of 8 frames", made, rounds)


def embed_unseen(
    folder: Path, cache: Path, settings: Settings, tell: Callable[[str], None], num_people: int | None = None
) -> dict[str, EmbeddedFaces]:
    """By precision, the people of the test and development parts: nothing was trained or calibrated on their photos."""
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    parts = split_people(names)
    only = {names[number] for part in ("test", "development") for number in parts[part][:num_people]}
    faces = {}
    for precision in PRECISIONS:
        tell(f"embedding {len(only)} people in {precision}")
        faces[precision] = embedded(folder, precision, only, cache, settings)
        assert np.array_equal(faces[precision].person, faces[REFERENCE].person), "the same photos in every precision"
    return faces


def main() -> int:
    """Measure, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="LFW: a folder per person")
    parser.add_argument("--footage", type=Path, metavar="DIR", help="NUAA: folders of frames per session, per person")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), metavar="DIR", help="precision.md and .json")
    parser.add_argument("--manifest", type=Path, default=SHIPPED, metavar="FILE", help="of the int8 model")
    parser.add_argument("--rounds", type=int, default=1000, help="of the bootstrap")
    options = parser.parse_args()
    settings = load_settings()

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    faces = embed_unseen(options.data, settings.models.dir.parent / "embeddings", settings, tell)
    trained = load_recognizer(settings.models.recognizer_dir)
    network = protocols.Recognizer(OnnxRuntimeEngine(trained.recognizer), OnnxRuntimeEngine(trained.enrol))
    results = on_photos(faces, network, options.rounds, tell)
    if options.footage:
        results += on_footage(options.footage, settings, network, options.rounds, tell)
    similar = {name: report.similarity(faces[REFERENCE], faces[name]) for name in PRECISIONS if name != REFERENCE}
    tell("timing")
    speed = report.milliseconds(settings)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "precision.json").write_text(report.as_json(results, similar, speed))
    (options.out / "precision.md").write_text(report.markdown(results, similar, speed))
    report.write_accuracy(options.manifest, results, similar)
    failed = [result for result in results if result.failed]
    for result in failed:
        assert result.drop is not None, "only what was compared can fail"
        tell(
            f"{result.precision} on {result.protocol}: TAR at FAR {FAR:g} is {100 * result.drop.value:.2f} points "
            f"below {REFERENCE} [{100 * result.drop.low:.2f}, {100 * result.drop.high:.2f}], more than "
            f"{100 * TOLERATED:g} is not tolerated: calibrate anew, or leave more layers in float"
        )
    return 1 if failed else 0
