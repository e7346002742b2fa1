"""Settings: one frozen, validated model; the only reader of the environment and of the YAML file.

Precedence: command line, environment (``FACELINE_DECIDE__CONFIRM_FRAMES=4``), YAML file (``--config``,
``FACELINE_CONFIG``), defaults. Stages get their group handed down and never look here.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

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
_NOT_SETTINGS = {"FACELINE_CONFIG", "FACELINE_TEST_DATA"}


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


class TopicSettings(_Group):
    """Names of the topics; the frames' may be shared, the others belong to one application id."""

    frames: str = "camera.frames"
    events: str = "identity.events"
    dead_letters: str = "camera.frames.dlq"
    state: str = "track.state"

    @model_validator(mode="after")
    def _are_different(self) -> "TopicSettings":
        names = (self.frames, self.events, self.dead_letters, self.state)
        if len(set(names)) < len(names):
            raise ValueError("frames, events, dead_letters and state must be four different topics")
        return self


class ServiceSettings(_Group):
    """How the loop takes its work."""

    application_id: str = Field(default="faceline", pattern=r"^[A-Za-z0-9._-]{1,128}$")
    batch_frames: int = Field(default=32, ge=1, le=10_000)
    poll_timeout_seconds: float = Field(default=0.5, gt=0, le=60)


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
    gallery: GallerySettings = Field(default_factory=GallerySettings)
    topics: TopicSettings = Field(default_factory=TopicSettings)
    service: ServiceSettings = Field(default_factory=ServiceSettings)
    enrol: EnrolOptions = Field(default_factory=EnrolOptions)
    admit: AdmitOptions = Field(default_factory=AdmitOptions)
    decode: DecodeOptions = Field(default_factory=DecodeOptions)
    detect: DetectOptions = Field(default_factory=DetectOptions)
    track: TrackOptions = Field(default_factory=TrackOptions)
    sample: SampleOptions = Field(default_factory=SampleOptions)
    identify: IdentifyOptions = Field(default_factory=IdentifyOptions)
    decide: DecideOptions = Field(default_factory=DecideOptions)

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
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        group = str(error["loc"][0])
        known = sorted(_names(group) if len(error["loc"]) > 1 else Settings.model_fields)
        return f"setting {path}{where} doesn't exist: expected one of {', '.join(known)}"
    return f"setting {path}{where} is {error['input']!r}: {error['msg']}"


def _names(group: str) -> list[str]:
    kind = Settings.model_fields[group].annotation
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", {})
    return [name for name in fields if not name.startswith("__")]
