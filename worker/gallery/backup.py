"""The gallery's topic as a file, and back: sealed values stay sealed, and who was erased since stays erased.

JSON Lines: a head with the digest of the rest, then the newest record of each key, deletions included.
"""

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from pydantic import ValidationError

from worker.errors import FacelineError, InvalidSettings
from worker.gallery.receipts import digest_of, forgotten_in
from worker.gallery.records import PersonRecord, check_person_id
from worker.gallery.topic import TopicGallery
from worker.sealing import MAGIC, Sealer, Unsealable, open_sealer
from worker.settings import Settings
from worker.transport.log import Record
from worker.transport.reading import TopicReader
from worker.types import MICROSECONDS

FORMAT = "faceline-gallery-1"


class Entry(msgspec.Struct, frozen=True):
    """The newest record of a key, as it stands on the topic."""

    key: str
    timestamp_us: int
    value: str | None  # base64, sealed or plain; None: a deletion

    @property
    def content(self) -> bytes | None:
        """The value's bytes. Raises ``ValueError`` where they are none."""
        return None if self.value is None else base64.b64decode(self.value, validate=True)


class Head(msgspec.Struct, frozen=True):
    """What the file is a copy of."""

    format: str
    topic: str
    offset: int  # how far the topic was read: its version
    time: str  # RFC 3339, when it was read
    records: int
    sha256: str  # of all lines after this one


class Backup(msgspec.Struct, frozen=True):
    """A file's content."""

    head: Head
    entries: tuple[Entry, ...]

    @property
    def num_people(self) -> int:
        """Entries that are no deletions."""
        return sum(entry.value is not None for entry in self.entries)

    @property
    def num_plain(self) -> int:
        """People whose templates anybody can read who has the file."""
        contents = [entry.content for entry in self.entries]
        return sum(content is not None and not content.startswith(MAGIC) for content in contents)


class Restored(msgspec.Struct, frozen=True):
    """What became, or would become, of each entry, by key."""

    written: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()  # here, older than their deletion in the file
    kept: tuple[str, ...] = ()  # the topic has them as new, or newer, or has nothing to delete
    forgotten: tuple[str, ...] = ()  # erased after the file was made


def take(settings: Settings) -> Backup:
    """Read the topic up to its end as it is now. Raises ``Retryable``."""
    with TopicReader(settings.kafka, settings.topics.gallery, {0}) as reader:
        end = reader.ends()[0]
        newest = _newest(reader.read_to_end({0: end}))
    entries = tuple(_entry(key, newest[key]) for key in sorted(newest))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    digest = hashlib.sha256(_body(entries)).hexdigest()
    return Backup(Head(FORMAT, settings.topics.gallery, end, now, len(entries), digest), entries)


def encoded(backup: Backup) -> bytes:
    """The file's bytes."""
    return msgspec.json.encode(backup.head) + b"\n" + _body(backup.entries)


def write(backup: Backup, path: Path) -> None:
    """Into a new file that its owner alone can read. Raises ``InvalidSettings`` where it can't be made."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        if path.exists():
            raise InvalidSettings(f"{path} exists: give another name, so that no backup is overwritten")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(encoded(backup))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InvalidSettings(f"{path} can't be written: {error.strerror or error}") from error


def read(path: Path) -> Backup:
    """A file that ``write`` made. Raises ``InvalidSettings`` where it isn't, or isn't whole."""
    try:
        return decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise InvalidSettings(f"{path} can't be read: {error.strerror or error}") from error


def decoded(data: bytes, where: str) -> Backup:
    """The same from bytes; ``where`` they come from, for messages."""
    first, _, rest = data.partition(b"\n")
    try:
        head = msgspec.json.decode(first, type=Head)
        entries = tuple(msgspec.json.decode(line, type=Entry) for line in rest.splitlines())
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidSettings(
            f"{where} is no backup of a gallery: expected what 'faceline gallery export' wrote"
        ) from None
    if head.format != FORMAT:
        raise InvalidSettings(f"{where} is of format {head.format}, this version reads {FORMAT}")
    if len(entries) != head.records or hashlib.sha256(rest).hexdigest() != head.sha256:
        raise InvalidSettings(f"{where} was cut or changed after it was written: take another backup")
    return Backup(head, entries)


def restore(settings: Settings, backup: Backup, *, dry_run: bool = False, accept_plain: bool = False) -> Restored:
    """Write what the topic lacks. Of each key the newer one counts, the file's or the topic's.

    Where there is a key, what isn't sealed is refused unless it is to be accepted: anybody could have written it.
    Everything is opened first: raises ``FacelineError`` before the first write where anything can't be read here.
    Values are sealed anew, for this topic and with the first key. Raises ``Retryable``: done again, nothing doubles.
    """
    if settings.encryption.key_file is not None and backup.num_plain and not accept_plain:
        raise FacelineError(
            f"{backup.num_plain} of {backup.num_people} people of the backup aren't sealed, so anybody could have "
            "written them; nothing was written. If the file is from before there was a key, pass --accept-plain"
        )
    people = _opened(backup, open_sealer(settings.encryption))
    erased = _erasures(settings)
    with closing(TopicGallery(settings)) as gallery:
        with TopicReader(settings.kafka, settings.topics.gallery, {0}) as reader:
            here = _newest(reader.read_to_end())
        fates: dict[str, list[str]] = {name: [] for name in Restored.__struct_fields__}
        for entry in backup.entries:
            fate = _fate(entry, here.get(entry.key), erased.get(digest_of(entry.key), 0))
            fates[fate].append(entry.key)
            if fate == "written" and not dry_run:
                gallery.put(people[entry.key], entry.timestamp_us)
            elif fate == "deleted" and not dry_run:
                gallery.remove(entry.key)
    return Restored(**{name: tuple(keys) for name, keys in fates.items()})


def age(backup: Backup, now: datetime) -> timedelta:
    """How old the file is. Raises ``InvalidSettings``."""
    try:
        return now - datetime.fromisoformat(backup.head.time)
    except (ValueError, TypeError):
        raise InvalidSettings(f"the backup's time is {backup.head.time!r}: expected RFC 3339 with a zone") from None


def _newest(records: Iterator[Record]) -> dict[str, Record]:
    """By person; what has no person's id for a key is none of ours."""
    newest: dict[str, Record] = {}
    for record in records:
        try:
            newest[check_person_id((record.key or b"").decode())] = record
        except (UnicodeDecodeError, InvalidSettings):
            continue
    return newest


def _entry(key: str, record: Record) -> Entry:
    value = None if record.value is None else base64.b64encode(record.value).decode()
    return Entry(key, record.timestamp_us, value)


def _body(entries: tuple[Entry, ...]) -> bytes:
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)


def _opened(backup: Backup, sealer: Sealer) -> dict[str, PersonRecord]:
    people: dict[str, PersonRecord] = {}
    problems: list[str] = []
    for entry in backup.entries:
        try:
            content = entry.content
            if content is not None:
                opened = sealer.open(content, f"{backup.head.topic}/{entry.key}")
                people[entry.key] = PersonRecord.model_validate_json(opened)
                if people[entry.key].person_id != entry.key:
                    problems.append("the record of another person than its key names")
        except Unsealable as error:
            problems.append(str(error))
        except (ValidationError, ValueError):
            problems.append("not a person's record")
    if problems:
        raise FacelineError(
            f"{len(problems)} of {backup.num_people} people of the backup can't be read here, nothing was written: "
            + "; ".join(sorted(set(problems)))
        )
    return people


def _erasures(settings: Settings) -> dict[str, int]:
    """When people were last erased, microseconds, by digest of their ids, as far as receipts are kept."""
    found: dict[str, int] = {}
    with TopicReader(settings.kafka, settings.topics.receipts) as reader:
        for record in reader.read_to_end():
            if receipt := forgotten_in(record):
                time_us = round(receipt.time.timestamp() * MICROSECONDS)
                found[receipt.person_sha256] = max(time_us, found.get(receipt.person_sha256, 0))
    return found


def _fate(entry: Entry, here: Record | None, erased_us: int) -> str:
    if entry.value is None:
        older_here = here is not None and here.value is not None and here.timestamp_us < entry.timestamp_us
        return "deleted" if older_here else "kept"
    if here is not None and here.timestamp_us >= entry.timestamp_us:
        return "forgotten" if here.value is None else "kept"
    return "forgotten" if erased_us > entry.timestamp_us else "written"
