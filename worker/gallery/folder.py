"""The gallery as a local folder: one JSON file a person, written whole or not at all."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from worker.errors import FacelineError
from worker.gallery.records import PersonRecord


@dataclass(frozen=True, slots=True)
class GalleryContent:
    """All records, by person id, and the version that names exactly this content."""

    records: tuple[PersonRecord, ...]
    version: str


class FolderGallery:
    """People under ``folder``. Several processes may read while one writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> GalleryContent:
        """Everything. Raises ``FacelineError`` that names a file which is no record."""
        records, digest = [], hashlib.sha256()
        for path in sorted(self.folder.glob("*.json")):
            content = path.read_bytes()
            try:
                record = PersonRecord.model_validate_json(content)
            except ValidationError as error:
                raise FacelineError(
                    f"{path} is not a gallery record ({error.error_count()} things wrong, first: "
                    f"{error.errors()[0]['msg']}): restore it or delete it"
                ) from error
            records.append(record)
            digest.update(content)
        return GalleryContent(tuple(records), digest.hexdigest()[:12])

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Changes when any record does: names, times of change and sizes of the files."""
        stats = ((path.name, path.stat()) for path in sorted(self.folder.glob("*.json")))
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)

    def get(self, person_id: str) -> PersonRecord | None:
        """One person's record."""
        return next((record for record in self.read().records if record.person_id == person_id), None)

    def put(self, record: PersonRecord) -> None:
        """Write or replace a person. The file is readable by its owner alone: templates are biometric data."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, partial = tempfile.mkstemp(dir=self.folder, suffix=".part")
        with os.fdopen(handle, "w") as file:
            file.write(record.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(self._path(record.person_id))

    def remove(self, person_id: str) -> bool:
        """Forget a person, templates and all; False where nobody of that id is enrolled."""
        try:
            self._path(person_id).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, person_id: str) -> Path:
        return self.folder / f"{person_id}.json"
