"""The gallery as a local folder: one JSON file a person, written whole or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from worker.errors import FacelineError
from worker.gallery.records import PersonRecord, check_person_id


class FolderGallery:
    """People under ``folder``. Several processes may read while one writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> tuple[PersonRecord, ...]:
        """Everything. Raises ``FacelineError`` that names a file which is no record."""
        records = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                content = path.read_bytes()
                record = PersonRecord.model_validate_json(content)
            except FileNotFoundError:
                continue  # forgotten since the folder was listed
            except ValidationError as error:
                raise FacelineError(
                    f"{path} is not a gallery record ({error.error_count()} things wrong, first: "
                    f"{error.errors()[0]['msg']}): restore it or delete it"
                ) from error
            if record.person_id != path.stem:
                raise FacelineError(
                    f"{path} holds the record of {record.person_id!r}: name it {record.person_id}.json or delete it"
                )
            records.append(record)
        return tuple(records)

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

    def _path(self, person_id: str) -> Path:
        return self.folder / f"{check_person_id(person_id)}.json"
