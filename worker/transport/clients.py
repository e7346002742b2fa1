"""kafka-python clients made from settings, and what their errors mean in one line with the cure.

The only room that knows the library's configuration. What exactly-once rests on can't be overridden by options.
"""

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient
from kafka.net.compat import KafkaNetClient
from kafka.net.connection import KafkaConnection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from worker.errors import InvalidSettings, Retryable
from worker.settings import KafkaSettings
from worker.transport.consumer import Consumer

_OURS = {
    *("bootstrap_servers", "group_id", "group_instance_id", "enable_auto_commit", "isolation_level"),
    *("auto_offset_reset", "transactional_id", "enable_idempotence", "acks", "key_serializer", "value_serializer"),
    *("key_deserializer", "value_deserializer", "partition_assignment_strategy", "allow_auto_create_topics"),
}
_SECRET = {"sasl_plain_password": "sasl_password", "ssl_password": "ssl_key_password"}
_FETCH_BYTES = 2**20  # of a partition at a time, so that partitions take turns; a larger record comes alone
_CLOSE_SECONDS = 3.0
_REFUSED = (kafka_errors.SaslAuthenticationFailedError, kafka_errors.UnsupportedSaslMechanismError)


class NotAllowed(Retryable):
    """The user lacks a right: somebody must grant it, and then a retry goes through."""


def open_consumer(settings: KafkaSettings, **config: Any) -> Consumer:
    """A consumer of committed records that commits and creates nothing by itself. Raises ``Retryable``."""
    base = {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",  # also makes committed() wait until a pending transaction is decided
        "allow_auto_create_topics": False,
        "fetch_max_wait_ms": 100,
        "max_partition_fetch_bytes": _FETCH_BYTES,
    }
    merged = {**_common(settings), **base, **_options(settings.consumer_options, KafkaConsumer, settings), **config}
    opened: Consumer = _open(Consumer, merged, "reading from Kafka")
    return opened


def open_producer(settings: KafkaSettings, **config: Any) -> KafkaProducer:
    """A producer that waits for all replicas. Raises ``Retryable``."""
    base = {
        "acks": "all",
        "linger_ms": 5,
        "compression_type": None if settings.compression == "none" else settings.compression,
        "max_request_size": settings.max_record_bytes + 2**16,
        "delivery_timeout_ms": round(settings.request_timeout_seconds * 3000),
        "max_block_ms": round(settings.request_timeout_seconds * 1000),
        "retry_backoff_ms": 20,  # a coordinator still busy with the last transaction costs one whole backoff
    }
    merged = {**_common(settings), **base, **_options(settings.producer_options, KafkaProducer, settings), **config}
    opened: KafkaProducer = _open(KafkaProducer, merged, "writing to Kafka")
    return opened


def close_producer(producer: KafkaProducer, *, give_up: bool) -> None:
    """Close; with ``give_up`` at once, failing what isn't written. Otherwise that is waited for, up to five seconds."""
    if give_up:
        # close() flushes first, raises where that takes too long, and leaves its thread running.
        producer._unregister_cleanup()
        producer._closed = True
        producer._sender.force_close()
        producer._sender.join(_CLOSE_SECONDS)
        return
    with suppress(kafka_errors.KafkaError):
        producer.close(timeout=5)


def close_consumer(consumer: Consumer) -> None:
    """Leave the group, where the broker answers within three seconds, and close the connections."""
    consumer.close(autocommit=False, timeout_ms=round(_CLOSE_SECONDS * 1000))


def open_admin(settings: KafkaSettings) -> KafkaAdminClient:
    """For topics and their settings. Raises ``Retryable``."""
    merged = {**_common(settings), **_options({}, KafkaAdminClient, settings)}
    known = {name: value for name, value in merged.items() if name in KafkaAdminClient.DEFAULT_CONFIG}
    opened: KafkaAdminClient = _open(KafkaAdminClient, known, "asking Kafka")
    return opened


def _open(client: Callable[..., Any], config: Mapping[str, Any], what: str) -> Any:
    """A client, or ``Retryable`` with the reason; the library would only say that it ran out of time."""
    nets: list[_NetClient] = []

    def connect(**configs: Any) -> _NetClient:
        nets.append(_NetClient(**configs))
        return nets[-1]

    try:
        opened = client(kafka_client=connect, **config)
    except (kafka_errors.KafkaError, OSError) as error:
        for net in nets:
            net.stop()
        reasons = [net.manager.failure for net in nets if net.manager.failure is not None]
        reason = reasons[-1] if reasons and isinstance(error, kafka_errors.KafkaTimeoutError) else error
        raise Retryable(f"{what} at {', '.join(config['bootstrap_servers'])}: {explain(reason)}") from reason
    for net in nets:
        net.manager.opening = False
    return opened


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Remembers why the last connection failed. A user refused while a client is opened is not tried again."""

    def __init__(self, net: NetworkSelector, **configs: Any) -> None:
        super().__init__(net, **configs)
        self.opening = True
        self.failure: Exception | None = None
        self._watched: WeakSet[KafkaConnection] = WeakSet()

    def get_connection(self, node_id: Any, **options: Any) -> KafkaConnection:
        if self.opening and isinstance(self.failure, _REFUSED):
            raise self.failure
        connection = super().get_connection(node_id, **options)
        if connection not in self._watched:  # asked for at every request
            self._watched.add(connection)
            connection.close_future.add_errback(lambda failure: self._remember(connection, failure))
        return connection

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        """In bounded time: the library waits without end for the handshake of a broker that says nothing."""
        built = self.call_soon(super()._build_transport, node, timeout_at)
        left = None if timeout_at is None else max(0.0, timeout_at - time.monotonic()) * 1000
        return await self.wait_for(built, left)

    def _remember(self, connection: KafkaConnection, failure: Exception) -> None:
        if self.closed:
            return
        knows_versions, let_in = connection.broker_version_data is not None, connection.init_future.succeeded()
        hung_up = isinstance(failure, kafka_errors.KafkaConnectionError)
        if hung_up and self.opening and connection.sasl_enabled and knows_versions and not let_in:
            # The library throws away an answer that comes together with the end of the connection, as a refusal does.
            failure = kafka_errors.KafkaConnectionError("the broker hung up while it checked the user")
        self.failure = failure


class _NetClient(KafkaNetClient):  # type: ignore[misc]
    """The library's own, with our manager, and a way to stop its thread when a constructor gives up."""

    def __init__(self, **configs: Any) -> None:
        net = NetworkSelector(**configs)
        self.manager = _Manager(net, **configs)
        super().__init__(net, self.manager, **configs)

    def stop(self) -> None:
        self.close()
        self._net.stop()


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the library's errors into ``Retryable`` (``NotAllowed``) with a line that says what to do."""
    try:
        yield
    except (kafka_errors.KafkaError, OSError) as error:
        refused = any(isinstance(each, kafka_errors.AuthorizationError) for each in _causes(error))
        raise (NotAllowed if refused else Retryable)(f"{what}: {explain(error)}") from error


def explain(error: BaseException) -> str:
    """An error of the library, of TLS or of a socket in one line with the cure."""
    seen = _causes(error)
    for each in seen:
        if isinstance(each, ssl.SSLCertVerificationError):
            return _certificate(each)
    for marks, advice in _ADVICE:
        for each in seen:
            if _fits(each, marks):
                return f"{_brief(each)}: {advice}"
    return _brief(error)


def _causes(error: BaseException) -> list[BaseException]:
    """The error, what it was raised from, and the errors that it carries; the library wraps in all three ways."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            waiting += [cause.__cause__, cause.__context__, *cause.args]
    return seen


def _fits(error: BaseException, marks: tuple[str, ...]) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return any(mark in names or (" " in mark and mark in str(error)) for mark in marks)


def is_caused_by(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Whether the error is one of these, or carries one."""
    return any(isinstance(each, kinds) for each in _causes(error))


def is_outage(error: BaseException) -> bool:
    """Whether no broker answered, so that waiting may cure it; false where one refused us."""
    return explain(error).endswith(_AWAY)


def require_bootstrap(settings: KafkaSettings) -> None:
    """Raise ``InvalidSettings`` where no broker is configured."""
    if not settings.bootstrap_servers:
        raise InvalidSettings(
            "no broker is configured: set kafka.bootstrap_servers (FACELINE_KAFKA__BOOTSTRAP_SERVERS=host:9092)"
        )


def password(settings: KafkaSettings) -> str | None:
    """The SASL password, from the file where one is named. Raises ``InvalidSettings``."""
    if settings.sasl_password_file is not None:
        return _read(settings.sasl_password_file, "kafka.sasl_password_file").strip()
    return settings.sasl_password.get_secret_value() if settings.sasl_password is not None else None


def _common(settings: KafkaSettings) -> dict[str, Any]:
    require_bootstrap(settings)
    for path in (settings.ssl_cafile, settings.ssl_certfile, settings.ssl_keyfile):
        if path is not None and not path.is_file():
            raise InvalidSettings(f"kafka: there is no file {path}: mount the secret, or correct the path")
    servers = [server.strip() for server in settings.bootstrap_servers.split(",") if server.strip()]
    common: dict[str, Any] = {
        "bootstrap_servers": servers,
        "security_protocol": settings.security_protocol,
        "request_timeout_ms": round(settings.request_timeout_seconds * 1000),
        "bootstrap_timeout_ms": round(settings.request_timeout_seconds * 1000),
        "reconnect_backoff_max_ms": 1000,
        "metadata_max_age_ms": 30_000,
        "metrics_enabled": False,
    }
    if settings.security_protocol.startswith("SASL"):
        common |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": password(settings),
        }
    if settings.security_protocol.endswith("SSL"):
        key_password = settings.ssl_key_password
        common |= {
            "ssl_cafile": _name(settings.ssl_cafile),
            "ssl_certfile": _name(settings.ssl_certfile),
            "ssl_keyfile": _name(settings.ssl_keyfile),
            "ssl_password": key_password.get_secret_value() if key_password is not None else None,
            "ssl_check_hostname": settings.ssl_check_hostname,
        }
    return common


def _options(specific: Mapping[str, Any], client: Any, settings: KafkaSettings) -> dict[str, Any]:
    """What the operator adds. General options go to the clients that know them; a typo is no option of any."""
    known = set(client.DEFAULT_CONFIG)
    everything = known | set(KafkaConsumer.DEFAULT_CONFIG) | set(KafkaProducer.DEFAULT_CONFIG)
    for name in {**settings.options, **specific}:
        if name in _SECRET:
            raise InvalidSettings(f"kafka option {name} would be shown with the settings: set kafka.{_SECRET[name]}")
        if name in _OURS:
            raise InvalidSettings(f"kafka option {name} can't be set: the delivery guarantee rests on it")
        if name not in (known if name in specific else everything):
            raise InvalidSettings(f"kafka option {name} doesn't exist in kafka-python: see its configuration reference")
    return {**{name: value for name, value in settings.options.items() if name in known}, **specific}


def _name(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{setting}: {path} can't be read ({error}): mount the secret there") from error


def _brief(error: BaseException) -> str:
    """The error's name and text, once each, on one line of bounded length."""
    name = type(error).__name__
    text = " ".join(str(error).split())[:300]
    for prefix in (rf"\[Error \d+\] {name}", *2 * (rf"{name}:",), r"\[Error \d+\]"):
        text = re.sub(rf"^{prefix}:?\s*", "", text)
    return f"{name}: {text}" if text else name


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    reason = (error.verify_message or str(error)).rstrip(".")
    if "expired" in reason:
        return (
            f"the broker's certificate is refused ({reason}): renew it on the brokers, and check this machine's clock"
        )
    if "ostname" in reason or "IP address" in reason:
        return f"the broker's certificate is refused ({reason}): bootstrap by the name that it is made out to"
    return f"the broker's certificate is refused ({reason}): set kafka.ssl_cafile to the authority that signed it"


_AWAY = "no broker answers there: check that it runs, kafka.bootstrap_servers, and the network between"
# The first that fits: by the name of a class, or by words of the text where the library has no class for it.
_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("SaslAuthenticationFailedError", "hung up while it checked the user"),
        "check kafka.sasl_username, sasl_password (or sasl_password_file) and sasl_mechanism",
    ),
    (
        ("UnsupportedSaslMechanismError",),
        "the broker doesn't offer this mechanism: set kafka.sasl_mechanism to one it does",
    ),
    (
        ("IllegalSaslStateError",),
        "the port takes no user and password: set kafka.security_protocol to PLAINTEXT or SSL, or use another port",
    ),
    (
        ("TopicAuthorizationFailedError",),
        "this user may not use the topic: grant what 'faceline topics rights' prints",
    ),
    (
        ("GroupAuthorizationFailedError",),
        "this user may not read as this group: grant READ on it, as 'faceline topics rights' prints",
    ),
    (
        ("TransactionalIdAuthorizationFailedError",),
        "this user may not write transactions: grant WRITE on transactional ids that begin with the application id "
        "and '-', as 'faceline topics rights' prints",
    ),
    (("AuthorizationError",), "this user lacks a right on the cluster: see 'Rights' in docs/kafka.md"),
    (
        ("UnknownTopicOrPartitionError", "UnknownTopicIdError"),
        "the topic doesn't exist: run 'faceline topics create', or correct topics.*",
    ),
    (
        ("MessageSizeTooLargeError", "RecordTooLargeError", "RecordListTooLargeError", "MessageTooLargeError"),
        "raise max.message.bytes of the topic and kafka.max_record_bytes",
    ),
    (
        ("UnsupportedCodecError",),
        "have producers compress by gzip, lz4 or zstd; what is written already is read with python-snappy installed",
    ),
    (
        ("no certificate or crl found", "PEM lib", "key values mismatch"),
        "kafka.ssl_cafile, ssl_certfile and ssl_keyfile must be PEM files, and the key fit the certificate",
    ),
    (
        ("EOF occurred in violation of protocol", "wrong version number", "record layer failure"),
        "the port doesn't speak TLS: set kafka.security_protocol to PLAINTEXT or SASL_PLAINTEXT, or use its TLS port",
    ),
    (
        ("socket disconnected", "Connection reset", "InvalidReceiveError"),
        "the broker hung up at once, as it does when the port speaks another protocol or wants a user: "
        "check kafka.security_protocol and the port",
    ),
    (
        ("DNS Resolution failure",),
        "the name is unknown here: correct kafka.bootstrap_servers, or the machine's DNS",
    ),
    (
        ("NoBrokersAvailable", "KafkaConnectionError", "ConnectionRefusedError", "NodeNotReadyError",
         "KafkaTimeoutError", "CoordinatorNotAvailableError"),
        _AWAY,
    ),
)  # fmt: skip
