"""What workers published of real frames on a real broker is explained as the local run of the same frames is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.broker.environment import environment
from tests.end_to_end.on_kafka import Site, now_us
from worker.__main__ import main
from worker.assemble import Loaded
from worker.gallery.folder import FolderGallery
from worker.playback import CameraFeed, play
from worker.reporting.files import Report, ReportOptions
from worker.settings import Settings
from worker.sources import SourceFrame
from worker.transport import topics

pytestmark = pytest.mark.models
MEASURED = ("offset", "share")  # of a frame that counted; its size is the followed box here, the found one there


def explained(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """The explanation as JSON."""
    assert main(["explain", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def of_kind(events: list[dict[str, Any]], kind: str) -> str:
    """The id of the only event of this kind."""
    (found,) = [event["id"] for event in events if event["kind"] == kind]
    return str(found)


def test_on_a_broker_as_in_a_folder(
    kafka: Settings, car: list[SourceFrame], quick: Loaded, gallery: FolderGallery, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The same frames counted, the same story; the trace adds agreement and light, and its absence is said."""
    topics.create(kafka, partitions=1)
    site, start_us = Site(kafka), now_us() // 1_000_000 * 1_000_000
    site.produce([site.frame(b"car", each.value, start_us + each.since_start_us // 1000 * 1000) for each in car])
    with site.service(quick, gallery) as running:
        running.work_off(len(car))
    for name, value in environment(kafka).items():
        monkeypatch.setenv(name, value)
    theirs = explained(capsys, of_kind(site.events("car"), "confirmed"))
    with Report(tmp_path, ReportOptions(False, False, 15.0), "car") as report:
        report.close(play([CameraFeed("car", iter(car), start_us)], kafka, quick, gallery, report))
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    ours = explained(capsys, of_kind(events, "confirmed"), "--in", tmp_path)
    assert theirs["event"]["identity"] == ours["event"]["identity"]
    assert [_measured(frame) for frame in theirs["counted_most"]] == [
        _measured(frame) for frame in ours["counted_most"]
    ]
    assert len(ours["frames"]) == ours["event"]["frames_used"] > 2
    assert all(frame["light"] and frame["norm"] for frame in ours["frames"])
    assert (theirs["frames"], ours["not_on_record"]) == (None, [])
    assert any("how surely each frame showed the track's first person" in line for line in theirs["not_on_record"])


def _measured(frame: Mapping[str, Any]) -> list[Any]:
    return [frame[name] for name in MEASURED]
