"""Snapshots: a camera's open tracks, and a partition's own record, as msgpack with a format number.

msgspec checks every field against the dataclasses while it reads, and runs nothing that a snapshot contains.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from worker.errors import FacelineError
from worker.pipeline import CameraState

FORMAT = 2
READABLE = (1, 2)
"""Format 2 tells frames' fates from what was noted about them, and knows what was shed; the rest is the same."""

_TO_COME = 16  # formats that later versions may have; a number above them is damage

_NOTES_OF_FORMAT_1 = frozenset(
    {"replaced_time", "malformed_time", "new_epoch", "faces_over_limit", "embedded", "track_split"}
)


class BadSnapshot(FacelineError):
    """A snapshot that can't be read: damaged, or written by something else."""


class UnknownFormat(FacelineError):
    """A snapshot of a later version of Faceline, whole as far as can be told."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """What a partition carries besides its cameras: how far its time has come, and every frame accounted for.

    ``outcomes`` sums up to ``next_offset - first_offset``: every offset between them has one.
    """

    next_offset: int = 0
    time_us: int | None = None  # the newest record timestamp seen
    digest: str = ""  # of models and settings that wrote it
    outcomes: Mapping[str, int] = field(default_factory=dict)  # frames by outcome since first_offset
    first_offset: int = 0  # where this account began
    notes: Mapping[str, int] = field(default_factory=dict)  # what else was noted about frames
    num_partitions: int = 0  # of the topic when this account began; 0: not known
    committed_offset: int | None = None  # where the group stood when this was written


@dataclass(frozen=True, slots=True)
class _Envelope:
    format: int
    digest: str
    camera: CameraState | None = None
    partition: PartitionState | None = None


def dump_camera(state: CameraState, digest: str, version: int = FORMAT) -> bytes:
    """A camera's state as bytes; ``digest`` names the models and settings it was made with.

    What ``version`` 1 has no name for is there all the same: its readers pass over it.
    """
    return _encoder.encode(_Envelope(version, digest, camera=state))


def dump_partition(state: PartitionState, version: int = FORMAT) -> bytes:
    """A partition's own record as bytes."""
    if version == 1:
        state = replace(state, outcomes={**state.notes, **state.outcomes}, notes={})
    return _encoder.encode(_Envelope(version, state.digest, partition=state))


def load_camera(data: bytes) -> tuple[CameraState, str]:
    """The state and the digest it was made with. Raises ``BadSnapshot`` and ``UnknownFormat``."""
    envelope = _load(data)
    if envelope.camera is None:
        raise BadSnapshot("the snapshot holds no camera: it was written under a camera's key by something else")
    return envelope.camera, envelope.digest


def load_partition(data: bytes) -> PartitionState:
    """A partition's own record. Raises ``BadSnapshot`` and ``UnknownFormat``."""
    envelope = _load(data)
    if envelope.partition is None:
        raise BadSnapshot("the snapshot holds no partition: it was written under the partition's key by something else")
    if envelope.format > 1:
        return envelope.partition
    return _split_notes(envelope.partition)


def _split_notes(state: PartitionState) -> PartitionState:
    """Format 1 counted both in one table."""
    notes = {name: number for name, number in state.outcomes.items() if name in _NOTES_OF_FORMAT_1}
    outcomes = {name: number for name, number in state.outcomes.items() if name not in notes}
    return replace(state, outcomes=outcomes, notes=notes, first_offset=state.next_offset - sum(outcomes.values()))


def _load(data: bytes) -> _Envelope:
    try:
        version = msgspec.msgpack.decode(data, type=dict[str, Any])["format"]
        if version not in READABLE:
            newer = isinstance(version, int) and FORMAT < version <= FORMAT + _TO_COME
            raise (UnknownFormat if newer else BadSnapshot)(
                f"snapshot format {version} is none of {READABLE}: run the version of Faceline that wrote it"
            )
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
