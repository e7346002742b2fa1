"""Errors, named by what the caller must do about them.

Every message says three things: the thing, what was expected of it, and the cure.
"""

from typing import Literal


class FacelineError(Exception):
    """Base of every error that Faceline raises on purpose; the command line shows it without a traceback."""

    exit_code = 1


class InvalidSettings(FacelineError):
    """A setting or an argument is wrong: correct it and start again (exit code 2)."""

    exit_code = 2


Refusal = Literal[
    "empty",
    "unsupported_format",
    "bad_header",
    "truncated",
    "corrupt",
    "too_many_bytes",
    "too_many_pixels",
    "too_small",
    "too_complex",
    "missing_key",
    "bad_key",
    "bad_timestamp",
    "unknown_type",
]
"""Why bytes, or a record, can never be processed."""


class BadMessage(FacelineError):
    """These bytes can never be processed: dead-letter them and go on.

    ``reason`` is a short stable code (a metric label); the message is for people.
    """

    def __init__(self, reason: Refusal, message: str, stage: str = "decode") -> None:
        super().__init__(message)
        self.reason = reason
        self.stage = stage


class Retryable(FacelineError):
    """The outside world failed: back off, restore from the last commit, try again."""


class Fenced(Retryable):
    """Another worker owns this work now: drop the batch and all state, and join anew."""


class Replaced(FacelineError):
    """Another process runs under this worker's name and owns its work for good: stop, don't retry."""


class ModelError(FacelineError):
    """A model file is missing, damaged or not what its manifest says."""


class ParityFailed(ModelError):
    """An engine doesn't compute what the reference does: don't serve with it. ``network`` is the first that differs."""

    def __init__(self, network: str, message: str) -> None:
        super().__init__(message)
        self.network = network


class EngineFailed(FacelineError):
    """The accelerator failed under a running engine: stop, uncommitted, so that another worker takes the frames."""


class PhotoRefused(FacelineError):
    """A photo can't be enrolled; ``reason`` is a short stable code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
