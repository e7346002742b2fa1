"""The gallery as a local folder: one JSON file a person, written whole or not at all."""

import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from worker.errors import FacelineError
from worker.gallery.records import PersonRecord, check_person_id
from worker.gallery.source import SourceStatus
from worker.transport.log import Message

logger = logging.getLogger(__name__)


class FolderGallery:
    """People under ``folder``. Several processes may read while one writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._good: dict[Path, PersonRecord] = {}  # as last read
        self._told: set[str] = set()

    @property
    def where(self) -> str:
        """In words, for messages."""
        return str(self.folder)

    def read(self) -> tuple[PersonRecord, ...]:
        """Everyone, in order of ids. Raises ``FacelineError`` that names a file which is no record."""
        return self._read(strict=True)

    def follow(self) -> tuple[PersonRecord, ...]:
        """The same; the last good version stands in for a file that was damaged meanwhile, which is logged once."""
        return self._read(strict=False)

    def _read(self, *, strict: bool) -> tuple[PersonRecord, ...]:
        good: dict[Path, PersonRecord] = {}
        for path in sorted(self.folder.glob("*.json"), key=lambda path: path.stem):
            try:
                good[path] = _load(path)
            except FileNotFoundError:
                continue  # forgotten since the folder was listed
            except FacelineError as error:
                if strict:
                    raise
                self._tell(str(error))
                if path in self._good:
                    good[path] = self._good[path]
        self._good = good
        return tuple(good.values())

    def _tell(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            logger.warning("what was last known of this person stays in force: %s", problem)

    def stamp(self) -> tuple[tuple[str, int, int, int], ...]:
        """Changes when any record does: names, times of change, sizes and inodes (a clock may tick too rarely)."""
        stamps = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(FileNotFoundError):
                stat = path.stat()
                stamps.append((path.name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(stamps)

    def get(self, person_id: str) -> PersonRecord | None:
        """One person's record."""
        return next((record for record in self.read() if record.person_id == person_id), None)

    def put(self, record: PersonRecord) -> None:
        """Write or replace a person. The file is readable by its owner alone: templates are biometric data."""
        path = self._path(record.person_id)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
        partial = Path(name)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(record.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)  # nothing biometric stays behind when the disk is full

    def remove(self, person_id: str) -> bool:
        """Forget a person, templates and all; False where nobody of that id is enrolled.

        Raises ``InvalidSettings`` where ``person_id`` is none.
        """
        try:
            self._path(person_id).unlink()
        except FileNotFoundError:
            return False
        return True

    def acknowledgements(self, worker: str) -> list[Message]:
        """None: nobody waits for them."""
        return []

    def erasure_seconds(self) -> list[float]:
        """None: a folder's deletions have no time."""
        return []

    def status(self) -> SourceStatus:
        """Always fresh."""
        return SourceStatus()

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, person_id: str) -> Path:
        return self.folder / f"{check_person_id(person_id)}.json"


def _load(path: Path) -> PersonRecord:
    """The record in a file. Raises ``FacelineError``, and ``FileNotFoundError`` where it has gone."""
    try:
        record = PersonRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise FacelineError(
            f"{path} is not a gallery record ({error.error_count()} things wrong, first: "
            f"{error.errors()[0]['msg']}): restore it or delete it"
        ) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FacelineError(f"{path} can't be read ({error.strerror}): let this user read it") from error
    if record.person_id != path.stem:
        raise FacelineError(
            f"{path} holds the record of {record.person_id!r}: name it {record.person_id}.json or delete it"
        )
    return record
