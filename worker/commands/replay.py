"""``faceline replay``: a range of frames once more, and whether it leads to what was published."""

import argparse
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worker.assemble import Loaded, open_gallery, open_models, open_people
from worker.commands.options import add_settings, print_json, quiet_kafka, settings_of, table_console, time_or_ago
from worker.errors import FacelineError, InvalidSettings
from worker.replay import Listener, Replayed, frames_extent, published_extent, replay, verify
from worker.reporting.comparison import as_json, print_findings
from worker.reporting.words import plural, printable
from worker.settings import Settings
from worker.transport.clients import require_bootstrap
from worker.transport.ranges import Bound, Extent, read_extent
from worker.transport.reading import TopicReader
from worker.types import GalleryView

_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    add_settings(parser)
    parser.add_argument(
        "--from",
        dest="begin",
        nargs="+",
        metavar="TIME|P:OFFSET",
        help="first frame: a record's timestamp (RFC 3339, or ago as in 15m, 2h), or an offset by partition "
        "(default: the oldest there is)",
    )
    parser.add_argument(
        "--to",
        dest="end",
        nargs="+",
        metavar="TIME|P:OFFSET",
        help="the first frame that is left out (default: the end now)",
    )
    parser.add_argument(
        "--partition",
        type=int,
        nargs="+",
        metavar="N",
        help="only these (default: those that offsets name, or all)",
    )
    parser.add_argument("--verify", action="store_true", help="compare with the events topic; exit code 1 if different")
    parser.add_argument("--json", action="store_true", help="with --verify: as JSON, with every difference")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write events there, one a line (default: standard output; not with --verify)",
    )
    parser.epilog = """examples:
  faceline replay --from 15m > events.jsonl
  faceline replay --from 2026-01-31T08:00:00Z --to 2026-01-31T08:10:00Z --out events.jsonl
  faceline replay --from 3:1200 --to 3:1800 --verify
  faceline replay --verify --json | jq '.differences[] | select(.cause == "unexplained")'

Runs frames that the topic still holds through the models, settings and gallery as they are here and now. It joins no
group, writes to no topic and stores no frame. Tracks still open at the end have no 'departed'.
Exit codes: 0 equal (or not compared), 1 different or failed, 2 wrong settings."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replay, and compare where that is asked for."""
    wanted = _wanted(options)
    settings = settings_of(options)
    require_bootstrap(settings.kafka)
    quiet_kafka()
    with TopicReader(settings.kafka, settings.topics.frames, wanted.partitions) as frames:
        if missing := (wanted.partitions or set()) - set(frames.partitions):
            raise InvalidSettings(
                f"{settings.topics.frames} has no partition {', '.join(map(str, sorted(missing)))}: correct --partition, "
                "or the offsets"
            )
        extent = frames_extent(frames, settings, wanted.begin, wanted.end)
        console = Console(stderr=True)
        if options.verify:
            extent = _published(extent, settings, console)
        loaded = open_models(settings)
        gallery = _gallery(settings, loaded)
        if options.verify:
            return _verify(options, frames, extent, settings, loaded, gallery, console)
        with _lines(options.out or "-") as write, _progress(console, extent) as turn:
            records = read_extent(frames, extent)
            done = replay(records, extent.starts, settings, loaded, gallery, Listener(write, turn=turn))
        _line(console, _summary(extent, done))
    return 0


def _verify(
    options: argparse.Namespace,
    frames: TopicReader,
    extent: Extent,
    settings: Settings,
    loaded: Loaded,
    gallery: GalleryView,
    console: Console,
) -> int:
    with _lines(options.out) as write, _progress(console, extent) as turn:
        done, findings = verify(frames, extent, settings, loaded, gallery, Listener(write, turn=turn))
    if options.json:
        ranges = {str(p): {"from": extent.starts[p], "to": end} for p, end in extent.ends.items()}
        counted = {"frames": done.num_frames, "events": done.num_events, "open_tracks": done.num_open_tracks}
        print_json({"range": ranges, **counted, **as_json(findings)})
    else:
        _line(console, _summary(extent, done))
        print_findings(findings, table_console())
    return 0 if findings.equal else 1


def _published(extent: Extent, settings: Settings, console: Console) -> Extent:
    """What workers have come to; what is behind it has no events yet."""
    published = published_extent(extent, settings)
    if behind := extent.num_offsets - published.num_offsets:
        text = f"the last {plural(behind, 'frame')} of the range were not committed by {settings.service.application_id} yet"
        _line(console, f"{text}: left out", "yellow")
    return published


def _gallery(settings: Settings, loaded: Loaded) -> GalleryView:
    with closing(open_people(settings)) as people:
        return open_gallery(settings, loaded, people).view(datetime.now(UTC))


def _summary(extent: Extent, done: Replayed) -> str:
    partitions = sum(1 for partition, end in extent.ends.items() if end > extent.starts[partition])
    text = f"replayed {plural(done.num_frames, 'frame')} of {plural(partitions, 'partition')}: "
    text += plural(done.num_events, "event")
    return text + (f", {plural(done.num_open_tracks, 'track')} still open" if done.num_open_tracks else "")


def _line(console: Console, text: str, style: str = "dim") -> None:
    console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


# What is asked for


@dataclass(frozen=True, slots=True)
class _Wanted:
    begin: Bound
    end: Bound
    partitions: set[int] | None


def _wanted(options: argparse.Namespace) -> _Wanted:
    """Raises ``InvalidSettings`` where the arguments contradict each other."""
    if options.json and not options.verify:
        raise InvalidSettings("--json belongs to --verify: without it every line is an event's JSON already")
    begin, end = _bound(options.begin, "--from"), _bound(options.end, "--to")
    named = {partition for bound in (begin, end) if isinstance(bound, dict) for partition in bound}
    chosen = set(options.partition) if options.partition else named or None
    if chosen is not None and named - chosen:
        raise InvalidSettings(f"offsets of partition {min(named - chosen)} are given, and --partition leaves it out")
    if isinstance(begin, int) and isinstance(end, int) and begin > end:
        raise InvalidSettings("--from is later than --to: exchange them")
    if isinstance(begin, dict) and isinstance(end, dict):
        _check_order(begin, end)
    return _Wanted(begin, end, chosen)


def _check_order(begin: dict[int, int], end: dict[int, int]) -> None:
    for partition in begin.keys() & end.keys():
        if begin[partition] > end[partition]:
            raise InvalidSettings(f"--from {partition}:{begin[partition]} is behind --to {partition}:{end[partition]}")


def _bound(texts: list[str] | None, option: str) -> int | dict[int, int] | None:
    if texts is None:
        return None
    places = [_PLACE.fullmatch(text) for text in texts]
    found = {int(place[1]): int(place[2]) for place in places if place is not None}
    if not found and len(texts) == 1:
        return time_or_ago(texts[0], option)
    if len(found) < len(texts):
        raise InvalidSettings(f"{option} {' '.join(texts)}: expected one time, or offsets such as 0:1200 1:980")
    return found


# Where it goes


@contextmanager
def _lines(out: Path | str | None) -> Iterator[Callable[[bytes], None]]:
    """Writes values one a line to a file, or to standard output for ``-``; nowhere for None."""
    if out is None:
        yield lambda value: None
    elif out == "-":
        yield lambda value: print(value.decode(), flush=True)
    else:
        try:
            with Path(out).open("wb") as file:
                yield lambda value: _write(file.write, value)
        except OSError as error:
            raise FacelineError(f"{out} can't be written ({error.strerror or error}): choose another --out") from error


def _write(write: Callable[[bytes], object], value: bytes) -> None:
    write(value + b"\n")


@contextmanager
def _progress(console: Console, extent: Extent) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("frames", total=extent.num_offsets)
        yield lambda done: bar.update(task, completed=done)
