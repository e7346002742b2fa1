"""A worker's life: open what it needs, turn the loop until it is asked to stop, wait wherever waiting may help.

What a retry or an operator can cure (a broker that is away, a topic or a right that is missing) is waited for, with the
reason on /readyz; nothing spins and nothing ends the process but a stop, a replacement or an error of ours.
"""

import logging
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass

from worker.assemble import Loaded, open_gallery, open_models, open_people, open_pipeline
from worker.errors import ParityFailed, Retryable
from worker.gallery.live import LiveGallery
from worker.health import Health, serve
from worker.logs import BatchLog
from worker.metrics import Metrics
from worker.process import Stop, Watchdog
from worker.sealing import Sealer, open_sealer
from worker.service import Service, Step
from worker.settings import Settings
from worker.tracing import Tracer, open_tracer
from worker.transport.clients import require_bootstrap
from worker.transport.kafka import KafkaTransport
from worker.transport.metered import MeteredTransport

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_SHOWN_SECONDS = 120.0  # a refusal to serve, before the end: two scrapes of Prometheus at the least
_BEAT_SECONDS = 5.0
_JOINING = "joining the consumer group"
_RESTORING = "restoring the state of its partitions"
_STUCK = "none of its partitions can be restored: see 'A partition that can't be restored' in docs/kafka.md"


@dataclass(slots=True)
class _Pause:
    """How long to wait after a failure: longer each time, up to a limit."""

    seconds: float = 0.0

    def longer(self) -> float:
        self.seconds = min(_LONGEST_PAUSE_SECONDS, self.seconds * 2 or _FIRST_PAUSE_SECONDS)
        return self.seconds

    def reset(self) -> None:
        self.seconds = 0.0


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where a worker tells how it is."""

    metrics: Metrics
    health: Health
    log: BatchLog

    def waiting(self, reason: str) -> None:
        self.health.beat()
        self.health.waiting(reason)
        self.metrics.waiting(True)

    def tell(self, step: Step, transport: KafkaTransport, gallery: LiveGallery) -> None:
        self.health.beat()
        if step.generation >= 0:
            self.health.started()
        reason = step.problem or _hindrance(step)
        if reason is None:
            self.health.ready()
        else:
            self.health.waiting(reason)
        lag = transport.lag()
        self.metrics.observe(step)
        self.metrics.lag(lag)
        self.metrics.gallery(gallery.status())
        for seconds in gallery.erasure_seconds():
            self.metrics.erased(seconds)
        self.log.write(step, step.generation, lag)


def _hindrance(step: Step) -> str | None:
    """Why a step without a problem shows no working worker: after a failed commit only the next one shows it."""
    if step.committed:
        return None
    if step.generation < 0:
        return _JOINING
    if step.restored or step.gained:
        return _RESTORING
    if step.waiting and not step.working:
        return step.unusable or _STUCK
    return None


def run_worker(settings: Settings, *, fail_fast: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then leave the group; what was polled and not committed is another worker's.

    ``fail_fast``: raise ``Retryable`` instead of waiting. Raises ``InvalidSettings``, ``ModelError`` and ``Replaced``.
    """
    require_bootstrap(settings.kafka)
    sealer = open_sealer(settings.encryption)
    tracer = open_tracer(settings)
    stop = Stop()
    health = Health(settings.service.stall_seconds, is_stopping=lambda: stop.requested)
    desk = _Desk(Metrics(), health, BatchLog())
    desk.metrics.latency_budget(settings.service.latency_budget_seconds)
    with (
        stop,
        closing(tracer),
        closing(serve(settings.http, desk.health, desk.metrics.registry)) as server,
        ExitStack() as watched,
    ):
        logger.info(
            "faceline serves as %s", settings.service.application_id,
            extra={"delivery": settings.service.delivery, "port": server.port, "frames": settings.topics.frames},
        )  # fmt: skip
        loaded = _load(settings, desk, stop, fail_fast)
        if loaded is None:
            return
        desk.health.beat()
        watched.enter_context(Watchdog(desk.health))
        desk.metrics.describe(settings.service.delivery, loaded.context.models, loaded.computing)
        _serve(settings, loaded, sealer, tracer, desk, stop, fail_fast)
    logger.info("stopped")


class _StopAsked(Exception):
    """Ends what compiles."""


def _load(settings: Settings, desk: _Desk, stop: Stop, fail_fast: bool = False) -> Loaded | None:
    """The models; None where a stop came while engines were compiled.

    That takes minutes, at times without a sign of life: until the loop turns nothing is watched but by /startupz, which
    says how far it has come. Raises ``ParityFailed`` only after everybody could see it.
    """

    def told(text: str) -> None:
        desk.waiting(text)
        if stop.requested:
            raise _StopAsked

    try:
        return open_models(settings, progress=told)
    except _StopAsked:
        logger.info("stopped while engines were compiled; what was finished is kept")
        return None
    except ParityFailed as error:
        if not fail_fast:
            _refuse(error, desk, stop)
        raise


def _refuse(error: ParityFailed, desk: _Desk, stop: Stop) -> None:
    """Stay for a while and serve nothing: a process that ends at once is gone before Prometheus has asked it why."""
    logger.error("%s", error)
    desk.metrics.parity_failed(error.network)
    until = time.monotonic() + _SHOWN_SECONDS
    while not stop.requested and time.monotonic() < until:
        desk.waiting(f"refuses to serve: {error}")
        stop.wait(_BEAT_SECONDS)


def _serve(
    settings: Settings, loaded: Loaded, sealer: Sealer, tracer: Tracer, desk: _Desk, stop: Stop, fail_fast: bool
) -> None:
    """Open, and open again where that fails, until a stop."""
    pause = _Pause()
    while not stop.requested:
        try:
            with ExitStack() as opened:
                people = opened.enter_context(closing(open_people(settings)))
                gallery = open_gallery(settings, loaded, people)
                transport = opened.enter_context(closing(_open_transport(settings)))
                service = _open_service(settings, loaded, sealer, tracer, desk, gallery, transport)
                pause.reset()
                _turn(settings, service, transport, gallery, desk, stop, fail_fast)
        except Retryable as error:
            if fail_fast:
                raise
            desk.waiting(str(error))
            desk.log.write(Step(problem=str(error)))
            stop.wait(pause.longer())


def _open_transport(settings: Settings) -> KafkaTransport:
    return KafkaTransport(
        settings.kafka,
        settings.service.application_id,
        settings.topics.frames,
        settings.topics.state,
        transactional=settings.service.delivery == "exactly_once",
    )


def _open_service(
    settings: Settings,
    loaded: Loaded,
    sealer: Sealer,
    tracer: Tracer,
    desk: _Desk,
    gallery: LiveGallery,
    transport: KafkaTransport,
) -> Service:
    return Service(
        MeteredTransport(transport, desk.metrics),
        open_pipeline(settings, loaded, tracer.meter(desk.metrics)),
        gallery,
        loaded.context,
        settings,
        name=transport.name,
        sealer=sealer,
        tracer=tracer,
    )


def _turn(
    settings: Settings,
    service: Service,
    transport: KafkaTransport,
    gallery: LiveGallery,
    desk: _Desk,
    stop: Stop,
    fail_fast: bool,
) -> None:
    """The loop itself. At low load a batch waits for its commit interval, so that commits don't cost more than work."""
    pause = _Pause()
    exactly_once = settings.service.delivery == "exactly_once"
    while not stop.requested:
        began = time.monotonic()
        step = service.step()
        desk.tell(step, transport, gallery)
        if step.problem is not None:
            if fail_fast and not step.fenced:  # a rebalance is nothing that is missing
                raise Retryable(step.problem)
            stop.wait(pause.longer())
            continue
        pause.reset()
        # Where a whole batch waits there is nothing to gain by waiting.
        if step.committed and exactly_once and sum(transport.lag().values()) < service.batch_frames():
            stop.wait(settings.service.commit_interval_seconds - (time.monotonic() - began))
