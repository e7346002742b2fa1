"""What ``make gpu-check`` asks of the engines' contract suite, which runs in a process of its own."""

import json
from collections.abc import Mapping
from typing import cast, get_args

from worker.engines.compile.flavour import FlavourName
from worker.settings import Settings

FLAVOUR, SETTINGS = "GPU_CHECK_FLAVOUR", "GPU_CHECK_SETTINGS"
"""Not ``FACELINE_…``: tests take no setting of the developer's own."""

_DECISIVE = {"engine", "models", "detect"}


def environment(settings: Settings, flavour: FlavourName) -> dict[str, str]:
    """The variables that say which TensorRT, and all that decides its engines: precision, device, limits, models."""
    return {FLAVOUR: flavour, SETTINGS: settings.model_dump_json(include=_DECISIVE)}


def asked(environ: Mapping[str, str]) -> tuple[Settings, FlavourName]:
    """From those variables; default settings and TensorRT where there are none. Raises ``ValueError``."""
    flavour = environ.get(FLAVOUR, "tensorrt")
    if flavour not in get_args(FlavourName):
        raise ValueError(f"{FLAVOUR} is {flavour!r}: expected one of {', '.join(get_args(FlavourName))}")
    return Settings(**json.loads(environ.get(SETTINGS, "{}"))), cast(FlavourName, flavour)
