"""Score trackers on the composed scenes: ours and published ones, the same detections, a published metric library.

Run as ``python -m tests.tracking.report --detector yunet.onnx [--num-seeds 20] [--development]`` with
``FACELINE_TEST_DATA`` set; prints a Markdown table.
"""

import argparse
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.tracking.scenes import FAMILIES, FRAMES_PER_SECOND, Float64, Frame, Scene, build, cast, observe
from worker.engines.engine import Engine
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.stages.track import TrackerState, TrackOptions, track
from worker.types import MICROSECONDS, FrameRef

DEVELOPMENT_SEEDS_FROM = 100  # held-out seeds count from 0; seed modulo 5 picks the frame rate

# Per frame: ids [M] and boxes [M, 4].
Output = list[tuple[list[str], Float64]]
Tracker = Callable[[Scene, list[Frame]], Output]


@dataclass(frozen=True)
class Result:
    """Percentages and counts, pooled over scenes."""

    idf1: float
    hota: float
    switches: int
    detected: int  # true positives
    truth: int


def ours(scene: Scene, frames: list[Frame], options: TrackOptions | None = None) -> Output:
    """Our tracker; a track counts from its ``min_hits``-th face, as the published ones' do."""
    options = options or TrackOptions()
    state, output = TrackerState(), []
    for offset, frame in enumerate(frames):
        ref = FrameRef("camera", "topic", 0, offset, frame.time_us)
        state, updates, _, _ = track(state, frame.faces, ref, options)
        seen = [update for update in updates if update.face_index >= 0 and update.hits >= options.min_hits]
        boxes = frame.faces.boxes_xyxy[[update.face_index for update in seen]].astype(np.float64)
        output.append(([update.track_id for update in seen], boxes))
    return output


def published(name: str, **settings: Any) -> Tracker:
    """A tracker of the ``trackers`` package, given the frame rate and each frame's capture time."""

    def run(scene: Scene, frames: list[Frame]) -> Output:
        import supervision as sv
        import trackers

        tracker = getattr(trackers, name)(frame_rate=scene.frames_per_second, **settings)
        output: Output = []
        for frame in frames:
            found = sv.Detections(
                xyxy=frame.faces.boxes_xyxy.copy(),
                confidence=frame.faces.scores.copy(),
                class_id=np.zeros(len(frame.faces), int),
            )
            tracked = tracker.update(found, timestamp=(frame.time_us - frames[0].time_us) / MICROSECONDS)
            kept = tracked.tracker_id >= 0
            output.append(([str(number) for number in tracked.tracker_id[kept]], tracked.xyxy[kept].astype(np.float64)))
        return output

    return run


def published_trackers() -> dict[str, Tracker]:
    """At the package's recommended settings, and tuned by us on the development scenes with a memory of 1.5 s.

    What helps them most is a similarity that also ranks boxes which don't touch: generalised or widely buffered IoU.
    """
    import trackers

    names = {
        "ByteTrack": "ByteTrackTracker",
        "OC-SORT": "OCSORTTracker",
        "SORT": "SORTTracker",
        "C-BIoU": "CBIoUTracker",
    }
    recommended = {label: published(name) for label, name in names.items()}
    wide = {"lost_track_buffer": 45, "iou": trackers.GIoU(), "minimum_iou_threshold": -0.8}
    tuned = {
        "ByteTrack, tuned": published("ByteTrackTracker", **wide, track_activation_threshold=0.65),
        "OC-SORT, tuned": published("OCSORTTracker", **wide, minimum_consecutive_frames=2),
        "C-BIoU, tuned": published(
            "CBIoUTracker",
            lost_track_buffer=45,
            buffer_ratio_first=2.0,
            buffer_ratio_second=2.0,
            minimum_iou_threshold_first_assoc=0.05,
        ),
    }
    return recommended | tuned


def look(data: Path, engine: Engine, num_seeds: int, *, held_out: bool) -> list[tuple[Scene, list[Frame]]]:
    """All families with so many seeds, composed and detected."""
    seeds = range(num_seeds) if held_out else range(DEVELOPMENT_SEEDS_FROM, DEVELOPMENT_SEEDS_FROM + num_seeds)
    heads = cast(data, engine, held_out=held_out)
    scenes = [build(family, seed, heads) for family in sorted(FAMILIES) for seed in seeds]
    return [(scene, observe(scene, engine)) for scene in scenes]


def score(watched: list[tuple[Scene, list[Frame]]], tracker: Tracker) -> dict[str, Result]:
    """Results by family, by frame rate, and of all scenes under ``all``; pooled by trackeval's own rule."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    metrics = {"id": Identity({"PRINT_CONFIG": False}), "clear": CLEAR({"PRINT_CONFIG": False}), "hota": HOTA()}
    scored: dict[str, list[dict[str, Any]]] = {}
    for scene, frames in watched:
        sequence = _sequence(frames, tracker(scene, frames))
        values = {name: metric.eval_sequence(sequence) for name, metric in metrics.items()}
        for group in (scene.family, f"{scene.frames_per_second:g} fps", "all"):
            scored.setdefault(group, []).append(values)
    return {group: _pool(metrics, rows) for group, rows in scored.items()}


def _pool(metrics: dict[str, Any], rows: list[dict[str, Any]]) -> Result:
    pooled = {
        name: metric.combine_sequences({str(n): row[name] for n, row in enumerate(rows)})
        for name, metric in metrics.items()
    }
    return Result(
        idf1=100 * float(pooled["id"]["IDF1"]),
        hota=100 * float(np.mean(pooled["hota"]["HOTA"])),
        switches=int(pooled["clear"]["IDSW"]),
        detected=int(pooled["clear"]["CLR_TP"]),
        truth=int(pooled["clear"]["CLR_TP"] + pooled["clear"]["CLR_FN"]),
    )


def _sequence(frames: list[Frame], output: Output) -> dict[str, Any]:
    """One sequence as trackeval's metrics take it: dense integer ids and IoU matrices per frame."""
    truth_ids, tracker_ids = _dense([frame.truth_ids for frame in frames]), _dense([ids for ids, _ in output])
    return {
        "gt_ids": truth_ids,
        "tracker_ids": tracker_ids,
        "similarity_scores": [_iou(f.truth_xyxy, boxes) for f, (_, boxes) in zip(frames, output, strict=True)],
        "num_gt_ids": len({n for ids in truth_ids for n in ids.tolist()}),
        "num_tracker_ids": len({n for ids in tracker_ids for n in ids.tolist()}),
        "num_gt_dets": sum(map(len, truth_ids)),
        "num_tracker_dets": sum(map(len, tracker_ids)),
        "num_timesteps": len(frames),
    }


def _dense(ids_by_frame: list[Any]) -> list[Any]:
    numbers: dict[Any, int] = {}
    return [np.array([numbers.setdefault(name, len(numbers)) for name in ids], int) for ids in ids_by_frame]


def _iou(first_xyxy: Float64, second_xyxy: Float64) -> Float64:
    """Float64 [N, M]."""
    low = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2])
    high = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    first, second = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first_xyxy, second_xyxy))
    return np.asarray(shared / (first[:, None] + second[None] - shared))


def table(results: dict[str, dict[str, Result]], groups: list[str]) -> str:
    """Markdown: one row per tracker, one column per group of scenes: ``IDF1 / HOTA / switches``."""
    lines = ["| tracker | " + " | ".join(groups) + " |", "|---|" + "---|" * len(groups)]
    for name, by_group in results.items():
        cells = [f"{r.idf1:.1f} / {r.hota:.1f} / {r.switches}" for r in (by_group[group] for group in groups)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tables(results: dict[str, dict[str, Result]]) -> str:
    """By family with the total, and by frame rate."""
    rates = [f"{fps:g} fps" for fps in FRAMES_PER_SECOND]
    return table(results, [*sorted(FAMILIES), "all"]) + "\n\n" + table(results, rates)


def main() -> None:
    """Compose, detect, track, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", type=Path, required=True, help="YuNet, as ONNX with free height and width")
    parser.add_argument(
        "--num-seeds", type=int, default=5, help="scenes per family; multiples of 5 use all frame rates"
    )
    parser.add_argument("--development", action="store_true", help="the scenes used for tuning, not the held-out ones")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    data = Path(os.environ["FACELINE_TEST_DATA"])
    with OnnxRuntimeEngine(arguments.detector.read_bytes()) as engine:
        watched = look(data, engine, arguments.num_seeds, held_out=not arguments.development)
    trackers = {"ours": ours} | published_trackers()
    print(tables({name: score(watched, tracker) for name, tracker in trackers.items()}))


if __name__ == "__main__":
    main()
