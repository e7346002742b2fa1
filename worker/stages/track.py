"""Follow faces from frame to frame: constant velocity in event time, two-stage association.

A pure function of state, faces and frame: no clock, no randomness, no counter. Rows keep the order of
birth, so equal inputs give equal outputs on every worker. High-score faces are assigned first and low-score
ones to the tracks that remain, and these never begin a track (Zhang et al., "ByteTrack: Multi-Object Tracking
by Associating Every Detection Box", 2022). Distances are measured in face sizes and in standard deviations of
the prediction, because at five frames per second a small face moves more than its width and boxes no longer
overlap. Every timer is event time in seconds; no rule counts frames except ``min_hits``.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, TypeAlias

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from worker.types import MICROSECONDS, Faces, FrameRef, TrackEnd, TrackUpdate

Float64: TypeAlias = NDArray[np.float64]

_IMPOSSIBLE = 1e9  # cost of a pair outside the gate; leaving both alone is always cheaper


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """How to follow. A *size* is the geometric mean of a face box's width and height."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    high_score: Annotated[float, Ge(0)] = 0.6  # faces at or above are assigned first
    low_score: Annotated[float, Ge(0)] = 0.4  # faces below are ignored
    birth_score: Annotated[float, Ge(0)] = 0.65  # an unassigned face at or above begins a track
    lost_seconds: Annotated[float, Ge(0)] = 1.5  # a track unseen for longer is over
    probation_seconds: Annotated[float, Ge(0)] = 0.5  # the same, with fewer than min_hits and missed in a frame
    min_hits: Annotated[int, Ge(1)] = 2  # frames with a face, from which on a track is no longer on probation
    max_tracks: Annotated[int, Ge(1)] = 64  # open at a time, per camera
    gate: Annotated[float, Ge(0)] = 18.5  # largest cost of a pair: chi-square with 4 degrees of freedom at 99.9 %
    low_score_gate: Annotated[float, Ge(0)] = 13.3  # the same for low-score faces: 99 %
    max_distance_sizes: Annotated[float, Ge(0)] = 4.0  # between prediction and face, however unsure the former is
    unsure_price: Annotated[float, Ge(0)] = 0.25  # of the prediction's log-variance in a cost; in a likelihood 1
    ambiguous_cost: Annotated[float, Ge(0)] = 9.5  # costlier pairs may be wrong: 95 %
    ambiguous_seconds: Annotated[float, Ge(0)] = 0.5  # unseen for longer, somebody else may have taken the place
    start_speed_sizes_per_second: Annotated[float, Ge(0)] = 4.0  # standard deviation of a newborn's velocity
    acceleration_sizes: Annotated[float, Ge(0)] = 7.0  # root of the power of white acceleration: sizes · s^-1.5
    position_noise_sizes: Annotated[float, Ge(0)] = 0.07  # standard deviation of a detected centre
    size_noise: Annotated[float, Ge(0)] = 0.15  # standard deviation of a detected width or height, as a share
    size_drift: Annotated[float, Ge(0)] = 0.6  # standard deviation of a size's change in one second, as a share


@dataclass(frozen=True, slots=True)
class Motion:
    """One open track, as of the frame in which it was last seen. Plain values only: it is a snapshot's row."""

    track_id: str
    first_seen_us: int
    last_seen_us: int
    hits: int  # frames in which a face was assigned
    face_index: int  # row of the face in the frame of last_seen_us
    center_xy: tuple[float, float]  # pixels
    size_wh: tuple[float, float]  # pixels
    velocity_xy: tuple[float, float]  # pixels per second
    variance: tuple[float, float, float]  # position, position·velocity, velocity; sizes², with seconds
    size_variance: float  # of width and height, as a share


@dataclass(frozen=True, slots=True)
class TrackerState:
    """All open tracks of one camera in order of birth, and the time of its newest frame."""

    tracks: tuple[Motion, ...] = ()
    time_us: int = 0


def track(
    state: TrackerState, faces: Faces, ref: FrameRef, options: TrackOptions
) -> tuple[TrackerState, tuple[TrackUpdate, ...], tuple[TrackEnd, ...], int]:
    """Take one frame in.

    Returns the new state, one update for every open track, the tracks that ended with reason ``left``, and the
    number of faces refused because ``max_tracks`` were open. Raises ``ValueError`` for a frame that isn't newer
    than the camera's newest: the caller drops late frames.
    """
    now_us = ref.capture_time_us
    if state.tracks and now_us <= state.time_us:
        raise ValueError(
            f"camera {ref.camera!r}, offset {ref.offset}: capture time {now_us} us isn't after {state.time_us} us; "
            "drop late frames before tracking"
        )
    alive, ends = expire(state, now_us, options)
    boxes = _boxes_cxcywh(faces)
    predicted = [_predict(motion, now_us, options) for motion in alive.tracks]
    costs = _costs(predicted, boxes, options)
    assigned = _associate(costs, faces, options)
    ambiguous = _ambiguous(costs, assigned, predicted, faces, now_us, options)

    kept, updates = [], []
    for old, motion, row, flag in zip(alive.tracks, predicted, assigned, ambiguous, strict=True):
        seen = _correct(motion, boxes[row], row, now_us, options) if row >= 0 else None
        kept.append(seen or old)  # an unseen track is kept as it was last seen: its next prediction starts there
        updates.append(_update(seen or motion, row, flag))
    followed, missed = expire(TrackerState(tuple(kept), now_us), now_us, options)
    updates = [update for update in updates if update.track_id not in {end.track_id for end in missed}]
    born, num_refused = _births(faces, boxes, set(assigned), len(followed.tracks), ref, options)
    updates += [_update(motion, motion.face_index, False) for motion in born]
    return TrackerState((*followed.tracks, *born), now_us), tuple(updates), (*ends, *missed), num_refused


def expire(state: TrackerState, time_us: int, options: TrackOptions) -> tuple[TrackerState, tuple[TrackEnd, ...]]:
    """Close the tracks that have been unseen for too long at ``time_us`` (event time), without a frame."""
    gone = {
        motion.track_id
        for motion in state.tracks
        if time_us - motion.last_seen_us > _patience_us(motion, state.time_us, options)
    }
    if not gone:
        return state, ()
    ends = tuple(TrackEnd(old.track_id, "left", old.last_seen_us) for old in state.tracks if old.track_id in gone)
    return replace(state, tracks=tuple(old for old in state.tracks if old.track_id not in gone)), ends


def split(state: TrackerState, track_id: str, ref: FrameRef) -> tuple[TrackerState, TrackEnd, str]:
    """End a track that turned out to be two people; its motion goes on under a new id that begins at ``ref``.

    The track must have been seen in the frame ``ref``, and begun before it: its face index there belongs to no
    other track, so that the new id can't collide with a newborn's. Raises ``ValueError`` otherwise.
    """
    row = next((row for row, motion in enumerate(state.tracks) if motion.track_id == track_id), None)
    if row is None:
        raise ValueError(f"no open track {track_id!r}; split a track that the last update listed")
    old = state.tracks[row]
    if old.last_seen_us != ref.capture_time_us or old.first_seen_us == ref.capture_time_us:
        raise ValueError(
            f"track {track_id!r} has no earlier face, or none at offset {ref.offset}; split it where it is seen"
        )
    new = replace(old, track_id=_track_id(ref, old.face_index), first_seen_us=ref.capture_time_us, hits=1)
    tracks = (*state.tracks[:row], new, *state.tracks[row + 1 :])
    return replace(state, tracks=tracks), TrackEnd(track_id, "track_split", old.last_seen_us), new.track_id


def _track_id(ref: FrameRef, face_index: int) -> str:
    return f"{ref.topic_id}-{ref.partition}-{ref.offset}-{face_index}"


def _patience_us(motion: Motion, newest_us: int, options: TrackOptions) -> int:
    """A track on probation that no frame has missed yet is waited for like any other: cameras may be slow."""
    proven = motion.hits >= options.min_hits or motion.last_seen_us == newest_us
    seconds = options.lost_seconds if proven else options.probation_seconds
    return round(seconds * MICROSECONDS)


def _boxes_cxcywh(faces: Faces) -> Float64:
    """Float64 [N, 4]: centre, width, height. A box without area, or not finite, gets NaN and is never assigned."""
    boxes = np.where(np.isfinite(faces.boxes_xyxy), faces.boxes_xyxy, np.nan).astype(np.float64)
    size = boxes[:, 2:] - boxes[:, :2]
    usable = np.all(size > 0, axis=1, keepdims=True)  # no comparison with NaN holds
    return np.where(usable, np.concatenate([boxes[:, :2] + size / 2, size], axis=1), np.nan)


def _predict(motion: Motion, now_us: int, options: TrackOptions) -> Motion:
    """Where the track should be now: a Kalman prediction with white acceleration (Bar-Shalom et al., 2001, §6.2).

    Both axes share one covariance, in face sizes, since their noise is the same.
    """
    dt = (now_us - motion.last_seen_us) / MICROSECONDS
    power = options.acceleration_sizes**2
    position, mixed, velocity = motion.variance
    variance = (
        position + dt * (2 * mixed + dt * velocity) + power * dt**3 / 3,
        mixed + dt * velocity + power * dt**2 / 2,
        velocity + power * dt,
    )
    (x, y), (vx, vy) = motion.center_xy, motion.velocity_xy
    size_variance = motion.size_variance + options.size_drift**2 * dt
    return replace(motion, center_xy=(x + vx * dt, y + vy * dt), variance=variance, size_variance=size_variance)


def _correct(predicted: Motion, box_cxcywh: Float64, row: int, now_us: int, options: TrackOptions) -> Motion:
    """The Kalman correction of a prediction by the face in row ``row``."""
    x, y, width, height = box_cxcywh.tolist()
    position, mixed, velocity = predicted.variance
    gain = position / (position + options.position_noise_sizes**2)
    velocity_gain = mixed / (position + options.position_noise_sizes**2)
    size_gain = predicted.size_variance / (predicted.size_variance + options.size_noise**2)
    dx, dy = x - predicted.center_xy[0], y - predicted.center_xy[1]
    return replace(
        predicted,
        last_seen_us=now_us,
        hits=predicted.hits + 1,
        face_index=row,
        center_xy=(predicted.center_xy[0] + gain * dx, predicted.center_xy[1] + gain * dy),
        velocity_xy=(predicted.velocity_xy[0] + velocity_gain * dx, predicted.velocity_xy[1] + velocity_gain * dy),
        size_wh=(
            predicted.size_wh[0] + size_gain * (width - predicted.size_wh[0]),
            predicted.size_wh[1] + size_gain * (height - predicted.size_wh[1]),
        ),
        variance=((1 - gain) * position, (1 - gain) * mixed, velocity - velocity_gain * mixed),
        size_variance=(1 - size_gain) * predicted.size_variance,
    )


def _costs(predicted: list[Motion], boxes_cxcywh: Float64, options: TrackOptions) -> Float64:
    """Float64 [T, N]: squared Mahalanobis distance of position and size, and the price of an unsure prediction.

    The last is the log-determinant of a Gaussian's likelihood, counted from the surest prediction possible, so
    that a track lost long ago doesn't take the face of one seen just now. Infinite beyond ``max_distance_sizes``.
    """
    if not predicted or not len(boxes_cxcywh):
        return np.zeros((len(predicted), len(boxes_cxcywh)))
    noise, size_noise = options.position_noise_sizes**2, options.size_noise**2
    centers_xy, sizes_wh = (np.array([getattr(p, name) for p in predicted]) for name in ("center_xy", "size_wh"))
    spread = np.array([[p.variance[0] + noise, p.size_variance + size_noise] for p in predicted])  # [T, 2]
    price = np.array([2 * math.log(row[0] / noise) + 2 * math.log(row[1] / size_noise) for row in spread.tolist()])

    offsets_xy = centers_xy[:, None] - boxes_cxcywh[None, :, :2]
    widths_product = sizes_wh[:, None] * boxes_cxcywh[None, :, 2:]
    scale = np.sqrt(widths_product[..., 0] * widths_product[..., 1])  # geometric mean of both sizes, squared
    distance2 = (offsets_xy**2).sum(axis=2) / scale
    change2 = ((sizes_wh[:, None] - boxes_cxcywh[None, :, 2:]) ** 2 / widths_product).sum(axis=2)
    costs = distance2 / spread[:, :1] + change2 / spread[:, 1:] + options.unsure_price * price[:, None]
    near = distance2 <= options.max_distance_sizes**2  # False for NaN
    return np.where(near, costs, np.inf)


def _associate(costs: Float64, faces: Faces, options: TrackOptions) -> list[int]:
    """For every track the row of its face, or -1. High scores first, then low ones to the remaining tracks."""
    high = faces.scores >= options.high_score
    low = ~high & (faces.scores >= options.low_score)
    assigned = [-1] * len(costs)
    for chosen, gate in ((high, options.gate), (low, options.low_score_gate)):
        columns = np.flatnonzero(chosen)
        rows = [row for row, face in enumerate(assigned) if face < 0]
        for row, column in _assign(costs[rows][:, columns], gate):
            assigned[rows[row]] = int(columns[column])
    return assigned


def _assign(costs: Float64, gate: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of the cheapest assignment, where leaving a row alone costs ``gate``.

    Exact, by shortest augmenting paths (Jonker and Volgenant, 1987), O(T²·(T + N)).
    """
    num_rows, num_columns = costs.shape
    costs = np.where(costs <= gate, costs, _IMPOSSIBLE)
    if num_rows == 0 or num_columns == 0 or costs.min() > gate:
        return []
    padded = np.concatenate([costs, np.full((num_rows, num_rows), gate)], axis=1)
    row_of = _shortest_augmenting_paths(padded)
    return sorted((int(row), column) for column, row in enumerate(row_of[:num_columns]) if row >= 0)


def _shortest_augmenting_paths(costs: Float64) -> NDArray[np.int64]:
    """For every column of ``costs`` [R, C], R ≤ C, the row that it is given, or -1; all rows are placed."""
    num_rows, num_columns = costs.shape
    row_price, column_price = np.zeros(num_rows), np.zeros(num_columns)
    row_of = np.full(num_columns, -1)
    for start in range(num_rows):
        shortest, previous = np.full(num_columns, np.inf), np.full(num_columns, -1)
        open_columns = np.ones(num_columns, np.bool_)
        row, column, length = start, -1, 0.0
        while row >= 0:
            reach = length + costs[row] - row_price[row] - column_price
            better = open_columns & (reach < shortest)
            shortest[better], previous[better] = reach[better], column
            column = int(np.argmin(np.where(open_columns, shortest, np.inf)))
            length = float(shortest[column])
            open_columns[column] = False
            row = int(row_of[column])
        row_price[start] += length
        for done in np.flatnonzero(~open_columns).tolist():
            if done != column:
                row_price[row_of[done]] += length - shortest[done]
                column_price[done] -= length - shortest[done]
        while column >= 0:
            before = int(previous[column])
            row_of[column] = start if before < 0 else row_of[before]
            column = before
    return row_of


def _ambiguous(
    costs: Float64, assigned: list[int], predicted: list[Motion], faces: Faces, now_us: int, options: TrackOptions
) -> list[bool]:
    """Per track: whether another face may have been taken for it, or its face for another track's."""
    possible = (costs <= options.gate) & (faces.scores >= options.low_score)
    faces_near, tracks_near = possible.sum(axis=1), possible.sum(axis=0)
    flags = []
    for row, (column, motion) in enumerate(zip(assigned, predicted, strict=True)):
        if column < 0:
            flags.append(bool(faces_near[row] > 0))
            continue
        unsure = now_us - motion.last_seen_us > options.ambiguous_seconds * MICROSECONDS
        improbable = costs[row, column] > options.ambiguous_cost  # a cut in the footage, say
        flags.append(bool(faces_near[row] > 1 or tracks_near[column] > 1 or unsure or improbable))
    return flags


def _births(
    faces: Faces, boxes_cxcywh: Float64, taken: set[int], num_open: int, ref: FrameRef, options: TrackOptions
) -> tuple[list[Motion], int]:
    """Tracks for the unassigned faces of high score, best first, and how many found no room."""
    wanted = [
        row
        for row in np.flatnonzero(faces.scores >= options.birth_score).tolist()
        if row not in taken and not math.isnan(boxes_cxcywh[row, 0])
    ]
    room = max(0, options.max_tracks - num_open)
    return [_newborn(boxes_cxcywh[row], row, ref, options) for row in wanted[:room]], max(0, len(wanted) - room)


def _newborn(box_cxcywh: Float64, row: int, ref: FrameRef, options: TrackOptions) -> Motion:
    x, y, width, height = box_cxcywh.tolist()
    return Motion(
        track_id=_track_id(ref, row),
        first_seen_us=ref.capture_time_us,
        last_seen_us=ref.capture_time_us,
        hits=1,
        face_index=row,
        center_xy=(x, y),
        size_wh=(width, height),
        velocity_xy=(0.0, 0.0),
        variance=(options.position_noise_sizes**2, 0.0, options.start_speed_sizes_per_second**2),
        size_variance=options.size_noise**2,
    )


def _update(motion: Motion, row: int, ambiguous: bool) -> TrackUpdate:
    (x, y), (width, height) = motion.center_xy, motion.size_wh
    box_xyxy = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return TrackUpdate(
        motion.track_id, row, box_xyxy, motion.first_seen_us, motion.last_seen_us, motion.hits, ambiguous
    )
