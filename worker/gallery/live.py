"""A gallery folder as the service loop sees it: read again when a file changed or a consent began or ended."""

from datetime import datetime

from worker.calibration import ImpostorTable
from worker.engines.engine import Engine
from worker.gallery.folder import FolderGallery
from worker.gallery.index import Policy, build_view, next_change
from worker.gallery.records import PersonRecord
from worker.types import GalleryView


class LiveGallery:
    """Builds a new view only where there is a reason to."""

    def __init__(
        self, folder: FolderGallery, policy: Policy, enrol: Engine, embedder_digest: str, impostors: ImpostorTable
    ) -> None:
        self._folder = folder
        self._policy = policy
        self._enrol = enrol
        self._embedder_digest = embedder_digest
        self._impostors = impostors
        self._stamp: object = None
        self._records: tuple[PersonRecord, ...] = ()
        self._view: GalleryView | None = None
        self._until: datetime | None = None

    def view(self, now: datetime) -> GalleryView:
        """Everyone who may be matched at ``now``."""
        stamp = self._folder.stamp()
        if stamp != self._stamp:
            self._records, self._stamp, self._view = self._folder.read(), stamp, None
        if self._view is None or (self._until is not None and now >= self._until):
            self._view = build_view(
                self._records, now, self._policy, self._enrol, self._embedder_digest, self._impostors
            )
            self._until = next_change(self._records, now)
        return self._view
