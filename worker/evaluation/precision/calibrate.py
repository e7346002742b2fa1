"""Calibrate the int8 embedder: ``python -m worker.evaluation.precision.calibrate --data DIR --name NAME``.

Takes one photo each of people of the training part, as it is and degraded as cameras degrade. Writes the file that the
package ships and both models into the cache; then run the guard (``worker.evaluation.precision``).
"""

import argparse
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worker.engines.engine import Engine
from worker.engines.int8 import make_int8, prepare_int8
from worker.engines.models import DETECTOR, EMBEDDER, load, manifests
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.engines.quantize import calibrate
from worker.settings import load_settings
from worker.training.crops import largest_central_face
from worker.training.degrade import apply, draw
from worker.training.sequences import split_people
from worker.types import Image

NUM_PEOPLE = 128
SHIPPED = Path(__file__).parents[2] / "data" / "models" / "sface.int8.json"


def calibration_crops(folder: Path, detector: Engine, num_people: int = NUM_PEOPLE, seed: int = 0) -> Image:
    """Crops uint8 [2·N, 112, 112, 3] of N people of the training part, the same at every call."""
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    chosen = np.random.default_rng(seed).permutation(split_people(names)["train"])[:num_people]
    crops: list[Image] = []
    for person in chosen:
        file = min((folder / names[person]).glob("*.jpg"))
        crop = largest_central_face(cv2.imread(str(file), cv2.IMREAD_COLOR), detector)
        if crop is not None:
            rng = np.random.default_rng(zlib.crc32(file.name.encode()))
            crops += [crop, apply(crop, draw(rng.uniform(), rng), rng)]
    return np.array(crops, np.uint8).reshape(-1, 112, 112, 3)


def describe(crops_bgr: Image, model: bytes, name: str) -> dict[str, Any]:
    """The content of ``sface.int8.json``, without accuracy."""
    manifest = manifests()[EMBEDDER]
    found = calibrate(model, crops_bgr)
    made = make_int8(model, found.channels, found.activated)
    return {
        "model": manifest.name,
        "source_sha256": manifest.sha256,
        "rewrite": manifest.rewrite,
        "recipe": "int8-1",
        "sha256": {way: hashlib.sha256(content).hexdigest() for way, content in made.items()},
        "calibrated_on": {"name": name, "people": len(crops_bgr) // 2, "crops": len(crops_bgr)},
        "accuracy": None,
        "channels": found.channels,
        "activated": found.activated,
    }


def written(described: dict[str, Any]) -> str:
    """As JSON with one tensor a line."""
    tables = {name: described[name] for name in ("channels", "activated")}
    head = json.dumps({name: value for name, value in described.items() if name not in tables}, indent=2)
    lines = [
        f'  "{table}": {{\n'
        + ",\n".join(f"    {json.dumps(name)}: {json.dumps(list(values))}" for name, values in tensors.items())
        + "\n  }"
        for table, tensors in tables.items()
    ]
    return head.removesuffix("\n}") + ",\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    """Calibrate, write, make."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a folder per person")
    parser.add_argument("--name", required=True, help="what the data set is called")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="FILE")
    options = parser.parse_args()
    cache = load_settings().models.dir
    known = manifests()
    with OnnxRuntimeEngine(load(known[DETECTOR], cache)) as detector:
        crops = calibration_crops(options.data, detector)
    options.out.write_text(written(describe(crops, load(known[EMBEDDER], cache), options.name)))
    if options.out.resolve() == SHIPPED:
        prepare_int8(known[EMBEDDER], cache, force=True, report=print)


if __name__ == "__main__":
    main()
