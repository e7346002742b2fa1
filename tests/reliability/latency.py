"""From capture to publication and to a subscriber, with cameras on the clock, at half of what a worker can do."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.reliability.figures import quantiles
from tests.reliability.footage import cameras
from tests.reliability.plant import Feed, Site, running
from tests.reliability.rates import COMMIT_SECONDS, FPS
from worker.errors import FacelineError
from worker.transport.reading import TopicReader

WARM_UP_SECONDS = 10.0
PRESENT_SECONDS = 1.0  # heartbeats of open tracks, more than by default: more events to time


@dataclass
class _Seen:
    published: list[float] = field(default_factory=list)  # seconds after capture, by the worker's clock
    arrived: list[float] = field(default_factory=list)  # likewise, at the subscriber
    num_departed: int = 0


def measure(site: Site, most_frames_per_second: float, seconds: float) -> dict[str, Any]:
    """Both modes, one after the other, at half of ``most_frames_per_second``."""
    num_cameras = max(1, round(most_frames_per_second / 2 / FPS))
    return {
        "cameras": num_cameras,
        "frames_per_second": num_cameras * FPS,
        "most_frames_per_second": most_frames_per_second,
        "seconds": seconds,
        "commit_interval_seconds": COMMIT_SECONDS,
        "modes": {mode: watch(site, mode, num_cameras, seconds) for mode in ("exactly_once", "at_least_once")},
    }


def watch(site: Site, mode: str, num_cameras: int, seconds: float) -> dict[str, Any]:
    """One run; seconds from capture by percentile."""
    service = {"delivery": mode, "commit_interval_seconds": COMMIT_SECONDS}
    decide = {"present_seconds": PRESENT_SECONDS}
    settings = site.create(site.application(f"latency-{mode.replace('_', '-')}", service=service, decide=decide))
    seen = _Seen()
    with running(settings, site.folder) as worker, TopicReader(settings.kafka, settings.topics.events) as reader:
        reader.seek_to_end()
        feed = Feed(site, cameras(num_cameras, FPS), FPS)
        try:
            # What earlier runs left on the topic comes first: wait until the worker is abreast of the cameras.
            feed.run_until(lambda: _is_abreast(worker.batches()), "a worker that keeps up", 600)
            began = time.time()
            while (now := time.time()) < began + WARM_UP_SECONDS + seconds:
                records = reader.poll(min(0.05, feed.send_due()))
                if records and now > began + WARM_UP_SECONDS:
                    _note(records, time.time(), began + WARM_UP_SECONDS, seen)
            batches = [batch for batch in worker.batches() if batch.at > began + WARM_UP_SECONDS]
        finally:
            feed.close()
    if not seen.published:
        raise FacelineError(f"no event came in {seconds:.0f} s: measure for longer, or free the machine")
    busy = sum(batch.process_seconds + batch.commit_seconds for batch in batches) / seconds
    return {
        "capture_to_publish": quantiles(seen.published),
        "capture_to_subscriber": quantiles(seen.arrived),
        "events_departed_left_out": seen.num_departed,
        "frames_a_commit": quantiles([float(batch.records) for batch in batches])["p50"],
        "busy": busy,
    }


def _is_abreast(batches: list[Any]) -> bool:
    return bool(batches) and batches[-1].lag <= 2 and time.time() - batches[-1].at < 2


def _note(records: list[Any], arrived: float, since: float, seen: _Seen) -> None:
    for record in records:
        headers = {name: value.decode() for name, value in record.headers}
        captured = datetime.fromisoformat(headers["ce_time"]).timestamp()
        if captured < since:
            continue
        if ".departed." in headers["ce_type"]:
            seen.num_departed += 1  # told of the last frame that showed the face, once it has been gone for long enough
            continue
        seen.published.append(datetime.fromisoformat(headers["ce_recordedtime"]).timestamp() - captured)
        seen.arrived.append(arrived - captured)
