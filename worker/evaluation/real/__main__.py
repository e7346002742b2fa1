"""Real sequences, as they are and made harder: ``python -m worker.evaluation.real``, see docs/real-sequences.md."""

import argparse
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.engines.models import DETECTOR, load, load_recognizer, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import FacelineError, InvalidSettings
from worker.evaluation.embedders import embedded, open_embedder
from worker.evaluation.real.clips import Clip, likeness, read_clips
from worker.evaluation.real.films import Film, films_by_person, known_films
from worker.evaluation.real.jobs import rules_and_served, told_of_jumps, trained_here
from worker.evaluation.real.ladder import DRAWS, SEVERITIES
from worker.evaluation.real.page import markdown
from worker.evaluation.real.rounds import Footage
from worker.evaluation.real.scoring import tabulate
from worker.evaluation.store import Scored
from worker.settings import Settings, load_settings

NAME = "real-sequences"
_KINDS = ("lstm", "memoryless", "gru", "rnn")


def main() -> int:
    """Read, score, write."""
    options = _options()
    settings = load_settings()
    try:
        films = films_by_person(options.clips) if options.clips else known_films(options.data)
        clips = _read(films, settings)
        found = measure(clips, settings, options)
    except FacelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / f"{NAME}.md").write_text(markdown(found))
    return 0


def measure(clips: list[Clip], settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises ``InvalidSettings`` where there is too little to compare."""
    people = {clip.person for clip in clips}
    if len(people) < 3:
        raise InvalidSettings(f"{len(people)} people in the clips: at least 3 are needed to compare")
    footage = Footage.of(clips)
    model = load_recognizer(settings.models.recognizer_dir)
    done = rules_and_served(model, footage)
    if options.train_on:
        done |= _train(footage, settings, options)
    tell(f"scored by {len(done)}; intervals")
    same, other = likeness(clips)
    return {
        "weights": {"digest": model.digest, "cell": model.cell},
        "trained": ", ".join(f"{kind} ({options.seeds} seeds)" for kind in options.networks)
        if options.train_on
        else "",
        "footage": {
            "people": len(people),
            "clips": len(clips),
            "clips_by_source": dict(Counter(clip.source for clip in clips)),
            "frames": sum(map(len, clips)),
            "likeness": {"same_person_least": same, "two_people_most": other},
        },
        "levels": SEVERITIES,
        "draws": DRAWS,
        "bootstraps": options.bootstraps,
        "rows": tabulate(done, options.bootstraps),
        "named": told_of_jumps(done, "named"),
        "noticed": told_of_jumps(done, "noticed"),
    }


def tell(line: str) -> None:
    """On standard error."""
    print(line, file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="DIR", help="the test data: webcam, talking, asl, walking")
    source.add_argument("--clips", type=Path, metavar="DIR", help="your own: PERSON/CLIP/*.jpg, PERSON/clip.mp4")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), metavar="DIR", help=f"{NAME}.json and .md")
    parser.add_argument("--bootstraps", type=int, default=500, help="rounds (default 500)")
    parser.add_argument(
        "--train-on", type=Path, metavar="DIR", help="also train networks on these people, of whom none is in the clips"
    )
    parser.add_argument("--networks", nargs="+", choices=_KINDS, default=list(_KINDS), metavar="KIND")
    parser.add_argument("--seeds", type=int, default=3, help="networks of each kind (default 3)")
    parser.add_argument("--steps", type=int, help="of training, where it is not the recipe's own number")
    return parser.parse_args()


def _read(films: list[Film], settings: Settings) -> list[Clip]:
    embedder, digest = open_embedder("fp32", settings)
    with embedder, OnnxRuntimeEngine(load(manifests()[DETECTOR], settings.models.dir)) as detector:
        return read_clips(films, _cache(settings), detector, embedder, digest, _reading)


def _reading(done: int, total: int, line: str) -> None:
    tell(line or f"read {done} of {total} films")


def _cache(settings: Settings) -> Path:
    return settings.models.dir.parent / "embeddings"


def _train(footage: Footage, settings: Settings, options: argparse.Namespace) -> dict[tuple[str, int], Scored]:
    from worker.training.train import Recipe

    names = {path.name for path in options.train_on.iterdir() if path.is_dir()}
    tell(f"embedding {len(names)} people to train on")
    faces = embedded(options.train_on, "fp32", names, _cache(settings), settings)
    recipe = replace(Recipe(), steps=options.steps) if options.steps else Recipe()

    def trained(kind: str, seed: int) -> None:
        tell(f"trained and scored {kind}, seed {seed}")

    return trained_here(
        faces, tuple(options.networks), options.seeds, recipe, footage,
        settings.models.dir.parent / NAME, trained,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
