"""Settings: one frozen, validated model; the only reader of the environment and of the YAML file.

Precedence: command line, environment (``FACELINE_DECIDE__CONFIRM_FRAMES=4``), YAML file (``--config``,
``FACELINE_CONFIG``), defaults. Stages get their group handed down and never look here.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from worker.engines.choice import EngineKind
from worker.engines.engine import Precision
from worker.errors import InvalidSettings
from worker.gallery.enrol import EnrolOptions
from worker.pipeline import PipelineOptions
from worker.stages.admit import AdmitOptions
from worker.stages.decide import DecideOptions
from worker.stages.decode import DecodeOptions
from worker.stages.detect import DetectOptions
from worker.stages.identify import IdentifyOptions
from worker.stages.sample import SampleOptions
from worker.stages.track import TrackOptions

PREFIX = "FACELINE_"
DEFAULT_APPLICATION_ID = "faceline"
_NOT_SETTINGS = {"FACELINE_CONFIG", "FACELINE_TEST_DATA", "FACELINE_TEST_REQUIRE"}


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faceline"


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "faceline"


class ModelSettings(_Group):
    """Where model files are."""

    dir: Path = Field(default_factory=lambda: _cache_home() / "models", description="cache of the published models")
    recognizer_dir: Path | None = Field(
        default=None, description="what 'faceline train' wrote; default: the shipped one"
    )


class EngineSettings(_Group):
    """What computes the networks, and how exactly."""

    kind: EngineKind = Field(
        default="auto", description="auto: TensorRT where a usable NVIDIA GPU and its libraries are, else ONNX Runtime"
    )
    precision: Precision = Field(
        default="fp32", description="int8: of the embedder; what else there is runs in the next better one"
    )
    cache_dir: Path = Field(default_factory=lambda: _cache_home() / "engines", description="compiled engines")
    device: int = Field(default=0, ge=0, description="number of the GPU, as CUDA counts them")
    max_frames: int = Field(default=4, ge=1, le=256, description="most frames of one size in one run of the detector")
    max_faces: int = Field(default=16, ge=1, le=1024, description="most faces in one run of the embedder")
    max_tracks: int = Field(default=64, ge=1, le=4096, description="most tracks in one run of the recognizer")
    fixed_batches: bool = Field(
        default=True,
        description="TensorRT: every run has the most rows, so that what a face gets doesn't hang on its batch",
    )
    max_graphs: int = Field(
        default=16, ge=0, le=1024, description="TensorRT: most CUDA graphs a network, one a shape; 0: none"
    )


class GallerySettings(_Group):
    """Whom this worker may name, and how often it may be wrong."""

    dir: Path = Field(default_factory=lambda: _data_home() / "gallery", description="folder of the local gallery")
    purpose: str = Field(default="any", description="matches people who agreed to it")
    tenant: str = "default"
    fpir: float = Field(
        default=0.001, gt=0, lt=1, description="share of tracks of strangers, alike to those enrolled, ever confirmed"
    )
    tentative_fpir: float = Field(default=0.03, gt=0, lt=1, description="the same for tentative names; not less")

    @model_validator(mode="after")
    def _tentative_is_easier(self) -> "GallerySettings":
        if self.tentative_fpir < self.fpir:
            raise ValueError(
                f"tentative_fpir {self.tentative_fpir} is less than fpir {self.fpir}: "
                "a tentative name would be harder to get than a confirmed one"
            )
        return self


_TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,249}$")]


class TopicSettings(_Group):
    """Names of the topics; the frames' may be shared, the others belong to one application id."""

    frames: _TopicName = "camera.frames"
    events: _TopicName = Field(default="", description="default: identity.events, after the application id if not ours")
    dead_letters: _TopicName = Field(default="", description="default: camera.frames.dlq, likewise")
    state: _TopicName = Field(default="", description="default: track.state, likewise; compacted")
    gallery: _TopicName = Field(default="", description="default: identity.gallery, likewise; compacted")
    receipts: _TopicName = Field(default="", description="default: identity.receipts, likewise; of erasures")

    def of(self, application_id: str) -> "TopicSettings":
        """The same with every name filled in. Raises ``ValueError`` where two are the same."""
        prefix = "" if application_id == DEFAULT_APPLICATION_ID else f"{application_id}."
        filled = self.model_copy(
            update={
                "events": self.events or f"{prefix}identity.events",
                "dead_letters": self.dead_letters or f"{prefix}camera.frames.dlq",
                "state": self.state or f"{prefix}track.state",
                "gallery": self.gallery or f"{prefix}identity.gallery",
                "receipts": self.receipts or f"{prefix}identity.receipts",
            }
        )
        names = list(filled.model_dump().values())
        if len(set(names)) < len(names) or not filled.frames:
            raise ValueError("frames, events, dead_letters, state, gallery and receipts must be six different topics")
        return filled


def _without_secrets(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if secret := sorted(name for name in options if "password" in name):
        raise ValueError(
            f"{', '.join(secret)} would be shown in the clear: use kafka.sasl_password_file or kafka.ssl_key_password"
        )
    return options


_Options = Annotated[
    dict[str, JsonValue],
    AfterValidator(_without_secrets),  # they are printed by 'faceline config', and stand in a ConfigMap
    WithJsonSchema({"type": "object", "propertyNames": {"not": {"pattern": "password"}}}),
]


class KafkaSettings(_Group):
    """The cluster, and how to be let in. Without bootstrap servers there is no broker, and the gallery is a folder."""

    bootstrap_servers: str = Field(default="", description="host:port, several separated by commas")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = Field(default=None, description="read at start; instead of sasl_password")
    ssl_cafile: Path | None = Field(default=None, description="PEM; default: the system's authorities")
    ssl_certfile: Path | None = Field(default=None, description="PEM of the client, for mutual TLS")
    ssl_keyfile: Path | None = None
    ssl_key_password: SecretStr | None = None
    ssl_check_hostname: bool = True
    group_instance_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
        description="a stable name such as the pod's in a StatefulSet: quick takeover; one live process a name",
    )
    session_timeout_seconds: float = Field(default=10.0, ge=1, le=300)
    max_poll_interval_seconds: float = Field(default=120.0, ge=5, le=3600)
    transaction_timeout_seconds: float = Field(
        default=10.0, ge=1, le=900, description="a dead worker's open transaction holds readers up this long"
    )
    request_timeout_seconds: float = Field(default=10.0, ge=1, le=300)
    max_record_bytes: int = Field(default=16 * 2**20, ge=2**20, le=2**30, description="largest record read or written")
    compression: Literal["none", "gzip", "lz4", "zstd"] = Field(default="lz4", description="of what is written")
    options: _Options = Field(default_factory=dict, description="further kafka-python settings, all clients")
    consumer_options: _Options = Field(default_factory=dict, description="likewise, consumers only")
    producer_options: _Options = Field(default_factory=dict, description="likewise, producers only")

    @model_validator(mode="after")
    def _fits_together(self) -> "KafkaSettings":
        if self.security_protocol.startswith("SASL") and (
            self.sasl_mechanism is None
            or not self.sasl_username
            or (self.sasl_password is None and self.sasl_password_file is None)
        ):
            raise ValueError(
                f"{self.security_protocol} needs sasl_mechanism, sasl_username, and sasl_password or sasl_password_file"
            )
        if self.transaction_timeout_seconds > self.session_timeout_seconds:
            raise ValueError(
                f"transaction_timeout_seconds {self.transaction_timeout_seconds} is above session_timeout_seconds "
                f"{self.session_timeout_seconds}: whoever takes over would wait for the dead worker's transaction"
            )
        return self


class EncryptionSettings(_Group):
    """Sealing of templates and snapshots on the topics."""

    key_file: Path | None = Field(
        default=None, description="base64 keys of 32 bytes, one a line: the first seals, all open"
    )


class ServiceSettings(_Group):
    """How the loop takes its work."""

    application_id: str = Field(
        default=DEFAULT_APPLICATION_ID,
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
        description="the consumer group's name; topics and transactional ids derive from it",
    )
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    batch_frames: int = Field(default=32, ge=1, le=10_000, description="most frames between two commits")
    commit_interval_seconds: float = Field(
        default=0.2, ge=0, le=10, description="batches are cut to about so much work, and committed no more often"
    )
    poll_timeout_seconds: float = Field(default=0.5, gt=0, le=60)
    freshness_seconds: float | None = Field(
        default=None, gt=0, description="shed work when a frame's record is older than this; default: never shed"
    )
    latency_budget_seconds: float = Field(
        default=2.0, gt=0, description="from capture to publication, in 95 of 100 events: what alerts compare with"
    )
    idle_close_seconds: float = Field(
        default=30.0, ge=1, description="depart the tracks of a partition on which nothing came for so long"
    )
    stall_seconds: float = Field(
        default=120.0, ge=10, description="a loop that hasn't turned for so long is dead: the process ends"
    )
    snapshot_format: Literal[1, 2] = Field(default=2, description="1 while workers of the version before still run")


class HttpSettings(_Group):
    """Where /livez /readyz /startupz and /metrics are served."""

    host: str = "0.0.0.0"  # noqa: S104 - probes and Prometheus come from outside the pod
    port: int = Field(default=9464, ge=0, le=65535, description="0: any free one")


class TracingSettings(_Group):
    """Spans for OpenTelemetry; needs the extra ``tracing``."""

    enabled: bool = False
    endpoint: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="of a collector that takes OTLP over HTTP; default: OTEL_EXPORTER_OTLP_ENDPOINT, or localhost:4318",
    )
    sample_ratio: float = Field(
        default=0.01, ge=0, le=1, description="of frames that bring no trace of their own; those that do decide it"
    )


class LogSettings(_Group):
    """What is written to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "text"] = "json"


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    models: ModelSettings = Field(default_factory=ModelSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    gallery: GallerySettings = Field(default_factory=GallerySettings)
    topics: TopicSettings = Field(default_factory=TopicSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    encryption: EncryptionSettings = Field(default_factory=EncryptionSettings)
    service: ServiceSettings = Field(default_factory=ServiceSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    enrol: EnrolOptions = Field(default_factory=EnrolOptions)
    admit: AdmitOptions = Field(default_factory=AdmitOptions)
    decode: DecodeOptions = Field(default_factory=DecodeOptions)
    detect: DetectOptions = Field(default_factory=DetectOptions)
    track: TrackOptions = Field(default_factory=TrackOptions)
    sample: SampleOptions = Field(default_factory=SampleOptions)
    identify: IdentifyOptions = Field(default_factory=IdentifyOptions)
    decide: DecideOptions = Field(default_factory=DecideOptions)

    @model_validator(mode="after")
    def _name_topics(self) -> "Settings":
        # The only change to a frozen value, while it is being made: names that nobody chose follow the application id.
        self.__dict__["topics"] = self.topics.of(self.service.application_id)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before what is passed in, which comes from the file."""
        return env_settings, init_settings

    def pipeline_options(self) -> PipelineOptions:
        """The stages' options, by group."""
        return PipelineOptions(
            self.admit, self.decode, self.detect, self.track, self.sample, self.identify, self.decide
        )

    def digest(self) -> str:
        """Of everything that decides what events say, as 64 hexadecimal digits."""
        adapter = TypeAdapter(PipelineOptions)
        decisive = {
            "pipeline": adapter.dump_python(self.pipeline_options(), mode="json"),
            "gallery": self.gallery.model_dump(mode="json", exclude={"dir"}),
            "engine": self.engine.model_dump(mode="json", include={"precision"}),
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def load_settings(
    config: Path | None = None, overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read file and environment. Raises ``InvalidSettings`` with one line for each thing that is wrong."""
    environ = os.environ if environ is None else environ
    if config is None and environ.get("FACELINE_CONFIG"):
        config = Path(environ["FACELINE_CONFIG"])
    _check_names(environ)
    try:
        settings = Settings(**_read_yaml(config))
        return settings if not overrides else _override(settings, overrides)
    except ValidationError as error:
        where = f" ({config})" if config else ""
        raise InvalidSettings("\n".join(_line(e, where) for e in error.errors())) from error
    except SettingsError as error:
        raise InvalidSettings(
            f"{error}: write single settings as {PREFIX}GROUP__NAME, or a whole group as a JSON object"
        ) from error


def shown(settings: Settings) -> dict[str, Any]:
    """The effective settings as plain values; secrets are masked."""
    return TypeAdapter(Settings).dump_python(settings, mode="json")  # type: ignore[no-any-return]


def _override(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Command-line values go before everything."""
    changed: dict[str, Any] = {}
    for path, value in overrides.items():
        group, _, name = path.partition(".")
        current = changed.get(group) or TypeAdapter(Settings).dump_python(settings)[group]
        changed[group] = {**current, name: value}
    plain = {name: TypeAdapter(type(getattr(settings, name))).validate_python(v) for name, v in changed.items()}
    return settings.model_copy(update=plain)


def _read_yaml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise InvalidSettings(f"settings file {path} doesn't exist: create it, or drop --config") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InvalidSettings(f"settings file {path} can't be read: {reason}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InvalidSettings(f"settings file {path} holds no groups: expected lines such as 'detect:'")
    for group in content:
        if group not in Settings.model_fields:  # before pydantic-settings takes _env_file and the like for its own
            known = ", ".join(sorted(Settings.model_fields))
            raise InvalidSettings(f"setting {group} ({path}) doesn't exist: expected one of {known}")
    return content


def _check_names(environ: Mapping[str, str]) -> None:
    """A typo in a variable's name must not pass for a default."""
    groups = Settings.model_fields
    for name in environ:
        if not name.upper().startswith(PREFIX) or name.upper() in _NOT_SETTINGS:
            continue
        group = name.upper().removeprefix(PREFIX).partition("__")[0].lower()
        if group not in groups:
            raise InvalidSettings(
                f"environment variable {name} is no setting: groups are {', '.join(sorted(groups))}, "
                f"written {PREFIX}GROUP__NAME"
            )


def _line(error: Any, where: str) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if not path:
        return f"settings{where} don't fit together: {error['msg']}"
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        group = str(error["loc"][0])
        known = sorted(_names(group) if len(error["loc"]) > 1 else Settings.model_fields)
        return f"setting {path}{where} doesn't exist: expected one of {', '.join(known)}"
    if isinstance(error["input"], dict) or "password" in path:  # a group may hold secrets too
        return f"setting {path}{where} won't do: {error['msg']}"
    return f"setting {path}{where} is {error['input']!r}: {error['msg']}"


def _names(group: str) -> list[str]:
    kind = Settings.model_fields[group].annotation
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", {})
    return [name for name in fields if not name.startswith("__")]
