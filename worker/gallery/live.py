"""A gallery as the service loop sees it: a new view when a record changed, or a consent began or ended."""

from datetime import datetime

from worker.calibration import ImpostorTable
from worker.engines.engine import Engine
from worker.gallery.index import Policy, build_view, next_change
from worker.gallery.records import PersonRecord
from worker.gallery.source import PeopleSource, SourceStatus
from worker.transport.log import Message
from worker.types import GalleryView


class LiveGallery:
    """Builds a new view only where there is a reason to. One thread."""

    def __init__(
        self, source: PeopleSource, policy: Policy, enrol: Engine, embedder_digest: str, impostors: ImpostorTable
    ) -> None:
        self._source = source
        self._policy = policy
        self._enrol = enrol
        self._embedder_digest = embedder_digest
        self._impostors = impostors
        self._stamp: object = None
        self._records: tuple[PersonRecord, ...] | None = None
        self._view: GalleryView | None = None
        self._until: datetime | None = None

    def view(self, now: datetime) -> GalleryView:
        """Everyone who may be matched at ``now``. Call it once a batch; the source is looked at in it.

        The first one raises ``FacelineError`` where a record is damaged. Later ones keep the last good version of it,
        so that a running worker goes on and what else changes has its effect.
        """
        stamp = self._source.stamp()
        if self._records is None or stamp != self._stamp:
            self._records = self._source.read() if self._records is None else self._source.follow()
            self._stamp, self._view = stamp, None
        if self._view is None or (self._until is not None and now >= self._until):
            self._view = build_view(
                self._records, now, self._policy, self._enrol, self._embedder_digest, self._impostors
            )
            self._until = next_change(self._records, now)
        return self._view

    def acknowledgements(self, worker: str) -> list[Message]:
        """For the topic of receipts: each deletion that views respect since the last call, in ``worker``'s name.

        The caller keeps them until they are written.
        """
        return self._source.acknowledgements(worker) if self._view is not None else []

    def erasure_seconds(self) -> list[float]:
        """How long each deletion took to get here, of those acknowledged since the last call."""
        return self._source.erasure_seconds()

    def status(self) -> SourceStatus:
        """How fresh the source is."""
        return self._source.status()

    def close(self) -> None:
        """Close the source."""
        self._source.close()
