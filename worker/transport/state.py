"""Snapshots: a camera's open tracks, and a partition's own record, as msgpack with a format number.

msgspec checks every field against the dataclasses while it reads, and runs nothing that a snapshot contains.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from worker.errors import FacelineError
from worker.pipeline import CameraState

FORMAT = 1


class BadSnapshot(FacelineError):
    """A snapshot that can't be read: damaged, or of a newer version."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """What a partition carries besides its cameras: how far its time has come, and every frame accounted for."""

    next_offset: int = 0
    time_us: int | None = None  # the newest record timestamp seen
    digest: str = ""  # of models and settings that wrote it
    outcomes: Mapping[str, int] = field(default_factory=dict)  # frames by outcome since the topic began


@dataclass(frozen=True, slots=True)
class _Envelope:
    format: int
    digest: str
    camera: CameraState | None = None
    partition: PartitionState | None = None


def dump_camera(state: CameraState, digest: str) -> bytes:
    """A camera's state as bytes; ``digest`` names the models and settings it was made with."""
    return _encoder.encode(_Envelope(FORMAT, digest, camera=state))


def dump_partition(state: PartitionState) -> bytes:
    """A partition's own record as bytes."""
    return _encoder.encode(_Envelope(FORMAT, state.digest, partition=state))


def load_camera(data: bytes) -> tuple[CameraState, str]:
    """The state and the digest it was made with. Raises ``BadSnapshot``."""
    envelope = _load(data)
    if envelope.camera is None:
        raise BadSnapshot("the snapshot holds no camera: it was written under a camera's key by something else")
    return envelope.camera, envelope.digest


def load_partition(data: bytes) -> PartitionState:
    """A partition's own record. Raises ``BadSnapshot``."""
    envelope = _load(data)
    if envelope.partition is None:
        raise BadSnapshot("the snapshot holds no partition: it was written under the partition's key by something else")
    return envelope.partition


def _load(data: bytes) -> _Envelope:
    try:
        version = msgspec.msgpack.decode(data, type=dict[str, Any])["format"]
        if version != FORMAT:
            raise BadSnapshot(f"snapshot format {version} is not {FORMAT}: run the version of Faceline that wrote it")
        return _decoder.decode(data)
    except (msgspec.MsgspecError, KeyError, ValueError, RecursionError) as error:
        raise BadSnapshot(f"the snapshot is damaged ({error}): its camera starts anew") from error


def _encode_other(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.astype("<f4").tobytes()
    raise NotImplementedError(f"a snapshot holds no {type(value).__name__}")


def _decode_other(kind: type, value: object) -> object:
    if isinstance(value, bytes):
        return np.frombuffer(value, "<f4").astype(np.float32)
    raise ValueError(f"expected bytes for {kind}, got {type(value).__name__}")


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_other)
_decoder = msgspec.msgpack.Decoder(_Envelope, dec_hook=_decode_other)
