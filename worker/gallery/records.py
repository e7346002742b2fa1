"""What is stored of a person who enrolled. Pydantic, since records cross the edge: a folder now, a topic later."""

from datetime import datetime
from typing import Annotated

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from worker.errors import InvalidSettings
from worker.types import EMBEDDING_SIZE

PersonId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")]
_PERSON_ID: TypeAdapter[str] = TypeAdapter(PersonId)


def check_person_id(text: str) -> str:
    """``text`` if it is a person id: also a safe file name. Raises ``InvalidSettings``."""
    try:
        return _PERSON_ID.validate_python(text)
    except ValidationError:
        raise InvalidSettings(
            f"person id {text!r} can't be used: expected 1 to 128 letters (a-z), digits and . _ @ + -, "
            "a letter or digit first"
        ) from None


class PhotoQuality(BaseModel):
    """How good an enrolled photo was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    face_pixels: float = Field(ge=0, description="shorter side of the face's box in the photo, pixels")
    detection_score: float = Field(ge=0, le=1)
    norm: float = Field(ge=0, description="length of the raw embedding")
    sharpness: float = Field(ge=0, description="variance of the Laplacian of the aligned grey crop")


class StoredTemplate(BaseModel):
    """One photo's raw embedding; no image is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding: tuple[FiniteFloat, ...] = Field(min_length=EMBEDDING_SIZE, max_length=EMBEDDING_SIZE)
    embedder: str = Field(description="digest of the model that made it; another model's templates never match")
    quality: PhotoQuality
    added: AwareDatetime

    @field_validator("embedding")
    @classmethod
    def _has_a_direction(cls, embedding: tuple[float, ...]) -> tuple[float, ...]:
        if not any(embedding):
            raise ValueError("the embedding is zero and points nowhere")
        return embedding


class PersonRecord(BaseModel):
    """A person in the gallery: templates, and the consent under which they may be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person_id: PersonId
    name: str = Field(default="", max_length=200)
    templates: tuple[StoredTemplate, ...]
    consent_time: AwareDatetime
    purposes: tuple[str, ...] = Field(default=("any",), description="what the person agreed to; 'any' is every purpose")
    expires: AwareDatetime | None = None
    withdrawn: bool = False
    tenant: str = "default"

    def may_match(self, now: datetime, purpose: str, tenant: str) -> bool:
        """Whether the consent covers this purpose and tenant at this moment."""
        in_time = self.consent_time <= now and (self.expires is None or now < self.expires)
        serves = "any" in self.purposes or purpose in self.purposes
        return in_time and serves and self.tenant == tenant and not self.withdrawn
