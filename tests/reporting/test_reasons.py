"""Every code that a message may carry has words."""

import re

import pytest

from worker.messages import IdentityEvent, IdentityMessage, Kind
from worker.reporting import reasons

SINGLE_WORDS = {"ambiguous", "erased", "left"}  # codes that can't be told from prose by their form
FIELDS = {"last_seen", "report_candidates"}  # what else has an underscore


def codes(text: str | None) -> set[str]:
    """The codes that a field's description explains."""
    assert text is not None
    words = set(re.findall(r"[a-z]+(?:_[a-z]+)*", text))
    return {word for word in words if "_" in word} - FIELDS | words & SINGLE_WORDS


def test_every_identity_reason_has_a_sentence() -> None:
    """Of why nobody is named."""
    assert codes(IdentityMessage.model_fields["reason"].description) == set(reasons.IDENTITY_REASONS)


def test_every_event_reason_has_a_sentence() -> None:
    """Of why an event was revised or departed."""
    assert codes(IdentityEvent.model_fields["reason"].description) == set(reasons.EVENT_REASONS)


def test_every_kind_has_a_sentence() -> None:
    """Of the life of a track."""
    assert set(Kind.__args__) == set(reasons.KINDS)


@pytest.mark.parametrize("say", [reasons.why_nobody, reasons.event_reason, reasons.refusal])
def test_a_code_of_tomorrow_is_still_said(say: object) -> None:
    """A code nobody has written words for yet is shown, not hidden."""
    assert callable(say)
    assert "new" in say("new_code")
