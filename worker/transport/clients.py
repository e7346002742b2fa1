"""kafka-python clients made from settings, and what their errors mean in one line with the cure.

The only room that knows the library's configuration. What exactly-once rests on can't be overridden by options.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from worker.errors import InvalidSettings, Retryable
from worker.settings import KafkaSettings

_OURS = {
    *("bootstrap_servers", "group_id", "group_instance_id", "enable_auto_commit", "isolation_level"),
    *("auto_offset_reset", "transactional_id", "enable_idempotence", "acks", "key_serializer", "value_serializer"),
    *("key_deserializer", "value_deserializer", "partition_assignment_strategy", "allow_auto_create_topics"),
}
_FETCH_BYTES = 2**20  # of a partition at a time, so that partitions take turns; a larger record comes alone


def open_consumer(settings: KafkaSettings, **config: Any) -> KafkaConsumer:
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
    with explained("reading from Kafka"):
        return KafkaConsumer(**merged)


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
    with explained("writing to Kafka"):
        return KafkaProducer(**merged)


def close_producer(producer: KafkaProducer, *, give_up: bool) -> None:
    """Close; with ``give_up`` at once, failing what isn't written. Otherwise that is waited for, up to five seconds."""
    if give_up:
        # close() alone flushes first, raises where that takes too long, and leaves its thread running.
        producer._sender.force_close()
    with suppress(kafka_errors.KafkaError):
        producer.close(timeout=5)


def open_admin(settings: KafkaSettings) -> KafkaAdminClient:
    """For topics and their settings. Raises ``Retryable``."""
    with explained("asking Kafka about its topics"):
        merged = {**_common(settings), **_options({}, KafkaAdminClient, settings)}
        return KafkaAdminClient(**{k: value for k, value in merged.items() if k in KafkaAdminClient.DEFAULT_CONFIG})


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the library's errors into ``Retryable`` with a line that says what to do."""
    try:
        yield
    except (kafka_errors.KafkaError, OSError) as error:
        raise Retryable(f"{what}: {explain(error)}") from error


def explain(error: BaseException) -> str:
    """An error of the library, of TLS or of a socket in one line with the cure."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    for each in seen:
        if isinstance(each, ssl.SSLCertVerificationError):
            return _certificate(each)
    text = " ".join(str(each) for each in seen)
    for names, advice in _ADVICE:
        if any(type(each).__name__ in names or name in text for each in seen for name in names):
            return f"{_brief(error)}: {advice}"
    return _brief(error)


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
    text = " ".join(str(error).split())[:300]
    name = type(error).__name__
    return text if name in text else f"{name}: {text}" if text else name


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    reason = error.verify_message or str(error)
    if "expired" in reason:
        return f"the broker's certificate is refused ({reason}): renew it on the brokers"
    if "ostname" in reason or "IP address" in reason:
        return f"the broker's certificate is refused ({reason}): bootstrap by the name that it is made out to"
    return f"the broker's certificate is refused ({reason}): set kafka.ssl_cafile to the authority that signed it"


_AWAY = "no broker answers there: check kafka.bootstrap_servers, the network, and kafka.security_protocol"
_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("SaslAuthenticationFailedError", "AuthenticationFailedError", "SaslAuthenticationError"),
        "user or password is wrong for this mechanism: check kafka.sasl_username, sasl_password and sasl_mechanism",
    ),
    (
        ("UnsupportedSaslMechanismError", "UnsupportedSaslMechanism"),
        "the broker doesn't offer this mechanism: set kafka.sasl_mechanism to one it does",
    ),
    (
        ("TopicAuthorizationFailedError",),
        "this user may not use the topic: grant what docs/kafka.md lists under 'Rights'",
    ),
    (
        ("GroupAuthorizationFailedError",),
        "this user may not read as this group: grant READ on group service.application_id",
    ),
    (
        ("TransactionalIdAuthorizationFailedError",),
        "this user may not write transactions: grant WRITE and DESCRIBE on transactional ids that begin with the "
        "application id",
    ),
    (("ClusterAuthorizationFailedError",), "this user lacks a right on the cluster: see 'Rights' in docs/kafka.md"),
    (
        ("UnknownTopicOrPartitionError", "UnknownTopicIdError"),
        "the topic doesn't exist: run 'faceline topics create', or correct topics.*",
    ),
    (
        ("MessageSizeTooLargeError", "RecordTooLargeError", "RecordListTooLargeError", "MessageTooLargeError"),
        "raise max.message.bytes of the topic and kafka.max_record_bytes",
    ),
    (
        ("NoBrokersAvailable", "KafkaConnectionError", "ConnectionRefusedError", "gaierror", "NodeNotReadyError",
         "KafkaTimeoutError", "BootstrapError"),
        _AWAY,
    ),
)  # fmt: skip
