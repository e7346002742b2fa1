"""Settings as the environment of a process."""

import json

from pydantic import SecretStr

from worker.settings import KafkaSettings, Settings


def environment(settings: Settings) -> dict[str, str]:
    """Variables with which ``faceline`` reaches the same broker and topics."""
    return {
        "FACELINE_KAFKA": json.dumps(_plain(settings.kafka)),
        "FACELINE_SERVICE__APPLICATION_ID": settings.service.application_id,
        "FACELINE_TOPICS__FRAMES": settings.topics.frames,
    }


def _plain(settings: KafkaSettings) -> dict[str, object]:
    given = settings.model_dump(exclude_unset=True)
    return {
        name: value.get_secret_value()
        if isinstance(value, SecretStr)
        else str(value)
        if name.endswith("file")
        else value
        for name, value in given.items()
        if value is not None
    }
