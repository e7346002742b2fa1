"""The 8-bit embedder: what it was calibrated to, made from the published model, and loaded by digest.

The package holds a calibration (numbers, no faces) and the digests of what must come of it. ``faceline models pull``
makes the files; nothing else has to be fetched, and no host needs photos.
"""

import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from worker.engines.models import Manifest, keep, load, prepared_path
from worker.errors import ModelError

Activations = Literal["int8", "uint8"]
"""How integers between layers are stored: ``int8`` for TensorRT, ``uint8`` (shifted by 128) for ONNX Runtime."""


class Int8(BaseModel):
    """The content of ``data/models/NAME.int8.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str
    source_sha256: str  # of the published file
    rewrite: str
    recipe: Literal["int8-1"]
    sha256: dict[Activations, str]
    calibrated_on: dict[str, JsonValue]
    accuracy: dict[str, JsonValue] | None  # what the guard measured; None until it ran
    channels: dict[str, tuple[float, ...]]
    activated: dict[str, tuple[float, ...]]

    @property
    def digest(self) -> str:
        """Of what is computed, 64 hexadecimal digits; the same for both ways to store it."""
        return self.sha256["int8"]


def int8_of(manifest: Manifest, file: Path | None = None) -> Int8:
    """The description in ``file``, or the one in the package. Raises ``ModelError`` where it is of another model."""
    source = file or resources.files("worker").joinpath("data", "models", f"{manifest.name}.int8.json")
    try:
        described = Int8.model_validate_json(source.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{source} describes no int8 model: {error}; install Faceline again") from error
    if (described.source_sha256, described.rewrite) != (manifest.sha256, manifest.rewrite):
        raise ModelError(
            f"{source} was calibrated on {described.source_sha256[:12]}… ({described.rewrite}), {manifest.name!r} is "
            f"{manifest.sha256[:12]}… ({manifest.rewrite}): calibrate it anew with 'make int8'"
        )
    return described


def int8_path(manifest: Manifest, cache: Path, activations: Activations) -> Path:
    """Where the quantized model lies."""
    return prepared_path(manifest, cache).with_suffix(f".{activations}.onnx")


def load_int8(manifest: Manifest, cache: Path, activations: Activations) -> bytes:
    """The quantized model. Raises ``ModelError`` where it is missing or not what the package says."""
    path = int8_path(manifest, cache, activations)
    if not path.exists():
        raise ModelError(f"model {manifest.name!r} in int8 is not in {cache}: run 'faceline models pull'")
    content = path.read_bytes()
    digest, wanted = hashlib.sha256(content).hexdigest(), int8_of(manifest).sha256[activations]
    if digest != wanted:
        raise ModelError(
            f"{path} has digest {digest[:12]}…, this version of Faceline expects {wanted[:12]}…: "
            "run 'faceline models pull'"
        )
    return content


def prepare_int8(
    manifest: Manifest, cache: Path, *, force: bool = False, report: Callable[[str], None] = lambda line: None
) -> None:
    """Make and keep both files from the prepared fp32 model; what is intact is left alone.

    Raises ``ModelError`` where the fp32 model is missing, or where the libraries installed make another file,
    ``InvalidSettings`` where ``cache`` can't be written.
    """
    ways: tuple[Activations, ...] = ("int8", "uint8")
    if not force and all(_intact(manifest, cache, way) for way in ways):
        report(f"{manifest.name} in int8: already there, digest checked")
        return
    described = int8_of(manifest)
    for way, content in make_int8(load(manifest, cache), described.channels, described.activated).items():
        digest = hashlib.sha256(content).hexdigest()
        if digest != described.sha256[way]:
            raise ModelError(
                f"{manifest.name} in int8 came out with digest {digest[:12]}…, expected {described.sha256[way][:12]}…: "
                "install onnx and onnxruntime in the versions of requirements/demo.lock, then 'faceline models pull'"
            )
        keep(int8_path(manifest, cache, way), content)
    report(f"{manifest.name} in int8: made from the calibration in the package, digest checked")


def make_int8(
    model: bytes, channels: dict[str, tuple[float, ...]], activated: dict[str, tuple[float, ...]]
) -> dict[Activations, bytes]:
    """Both files of one calibration of the prepared fp32 ``model``."""
    from worker.engines.quantize import Calibration, as_uint8, quantize  # heavy, and needed when models are made only

    signed = quantize(model, Calibration(channels, activated))
    return {"int8": signed, "uint8": as_uint8(signed)}


def _intact(manifest: Manifest, cache: Path, way: Activations) -> bool:
    try:
        load_int8(manifest, cache, way)
    except ModelError:
        return False
    return True
