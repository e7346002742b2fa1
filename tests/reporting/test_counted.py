"""Which frames counted, and what speaks for why."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.reporting import made
from worker.engines.models import load_recognizer
from worker.messages import to_event
from worker.reporting.counted import HORIZON, faded, goes_with, lightest, share_of_other_person
from worker.reporting.explain import Explanation, Reading
from worker.reporting.light import face_light
from worker.reporting.story import TracePoint
from worker.types import Identity


def frame(number: int, weight: float, other_person: bool = False, **figures: float) -> TracePoint:
    """A traced frame."""
    agreement = figures.pop("first_person", 1.0)
    return TracePoint(number, number, "t", "c", weight, agreement, other_person, None, None, **figures)


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_against_scipy(seed: int) -> None:
    """Spearman's, ties and all, to rounding."""
    draw = np.random.default_rng(seed)
    weights, norms = draw.integers(0, 8, 30).astype(float), draw.integers(0, 8, 30).astype(float)
    found = goes_with([frame(n, w, norm=v) for n, (w, v) in enumerate(zip(weights, norms, strict=True))])
    assert found["norm"] == pytest.approx(spearmanr(weights, norms).statistic, abs=1e-12)


def test_no_order_is_made_of_nothing() -> None:
    """Too few frames, a figure that is the same or unknown somewhere, agreement that differs in its last digits."""
    rising = [frame(n, n, norm=float(n), sharpness=5.0, first_person=0.99 + n / 1e4) for n in range(6)]
    assert goes_with(rising) == {"norm": pytest.approx(1)}
    assert goes_with(rising[:4]) == goes_with([]) == {}
    assert goes_with([*rising, frame(9, 9.0)]) == {}
    assert goes_with([frame(n, 1.0, norm=float(n)) for n in range(6)]) == {}


def test_the_share_of_another_person() -> None:
    """Of all weight; none where nothing weighs anything."""
    assert share_of_other_person([frame(0, 3.0), frame(1, 1.0, other_person=True)]) == 0.25
    assert share_of_other_person([frame(0, 0.0, other_person=True)]) == share_of_other_person([]) == 0


@pytest.mark.parametrize(
    ("first_person", "alarm", "words"),
    [
        (0.9, 0.8, "taken for another person, by the alarm"),
        (0.1, 0.8, "taken for another person"),
        (0.1, None, "taken for another person"),
    ],
)
def test_who_took_a_frame_for_another_persons(first_person: float, alarm: float | None, words: str) -> None:
    """The alarm is named where the frame by itself would have passed."""
    odd = frame(2, 0.5, other_person=True, first_person=first_person)
    decision = made.decision(made.CAMERA, "t-1", 1, 3, "present", Identity("unknown"))
    event = to_event(replace(decision, evidence=()), made.CONTEXT, "7")
    frames = [*(frame(n, 1.0 + n) for n in (0, 1)), replace(odd, alarm=alarm)]
    shown = lightest(Explanation(event, Reading("here"), frames=frames))
    assert shown[0].why == words and shown[0].alarm == alarm


def test_frames_fade_as_they_do_in_serving() -> None:
    """Beyond the network's horizon each new frame fades all before it; none is faded by the first 48."""
    assert load_recognizer().horizon == HORIZON
    weights: list[float] = []
    for number in range(130):
        if number >= HORIZON:
            weights = [weight * HORIZON / (HORIZON + 1) for weight in weights]
        weights.append(1.0 + number % 3)
        frames = [frame(n, 1.0 + n % 3) for n in range(number + 1)]
        assert faded(frames) == pytest.approx(weights)
    assert faded([]) == []


def test_shares_of_a_long_track_are_of_what_is_left() -> None:
    """Of 148 frames the first 100 were another person's: they hold 37 % by then, not two thirds."""
    frames = [frame(n, 1.0, other_person=n < 100) for n in range(148)]
    last = (48 / 49) ** np.arange(148)[::-1].clip(max=100)
    assert share_of_other_person(frames) == pytest.approx(last[:100].sum() / last.sum())
    assert share_of_other_person(frames) == pytest.approx(0.37, abs=0.001)


def test_the_light_on_a_face() -> None:
    """The middle of the box, not its surroundings; nothing where there is no image, or no face in it."""
    image = np.zeros((100, 100, 3), np.uint8)
    image[30:70, 30:70] = 200
    assert face_light(image, (20.0, 20.0, 80.0, 80.0)) == pytest.approx(200, abs=1)
    assert face_light(image // 2, (20.0, 20.0, 80.0, 80.0)) == pytest.approx(100, abs=1)
    assert face_light(image, (-40.0, 30.0, 70.0, 70.0)) is not None, "a face that is half out of the frame"
    for outside in ((-50.0, 10.0, -10.0, 50.0), (110.0, 10.0, 150.0, 50.0), (10.0, 10.0, 10.4, 10.4)):
        assert face_light(image, outside) is None
    assert face_light(None, (20.0, 20.0, 80.0, 80.0)) is None
