"""Every code that a message may carry has words."""

import re

import pytest

from worker.messages import IdentityEvent, IdentityMessage, Kind
from worker.reporting import reasons


def codes(text: str | None) -> set[str]:
    """The codes that a field's description lists after its colons."""
    assert text is not None
    return {code for part in re.split(r"[;:]", text)[1:] for code in re.findall(r"\b[a-z]+(?:_[a-z]+)*\b", part)}


def test_every_identity_reason_has_a_sentence() -> None:
    """Of why nobody is named."""
    listed = codes(IdentityMessage.model_fields["reason"].description)
    assert listed
    assert listed == set(reasons.IDENTITY_REASONS)


def test_every_event_reason_has_a_sentence() -> None:
    """Of why an event was revised or departed."""
    listed = codes(IdentityEvent.model_fields["reason"].description) - {"departed", "revised"}
    assert listed
    assert listed == set(reasons.EVENT_REASONS)


def test_every_kind_has_a_sentence() -> None:
    """Of the life of a track."""
    assert set(Kind.__args__) == set(reasons.KINDS)


@pytest.mark.parametrize("say", [reasons.why_nobody, reasons.event_reason, reasons.refusal])
def test_a_code_of_tomorrow_is_still_said(say: object) -> None:
    """A code nobody has written words for yet is shown, not hidden."""
    assert callable(say)
    assert "new" in say("new_code")
