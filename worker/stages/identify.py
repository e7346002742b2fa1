"""Match a track's template against the gallery: open set, so nobody is a possible answer."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Lt

from worker.calibration import Calibration
from worker.types import Candidate, GalleryView, Match, Recognition


@dataclass(frozen=True, slots=True)
class IdentifyOptions:
    """What is believed before a face is seen."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    enrolled_share: Annotated[float, Gt(0), Lt(1)] = 0.5  # of the visitors: the prior of the probability
    num_candidates: Annotated[int, Ge(2)] = 3  # the runner-up is needed to tell look-alikes apart


def identify(
    recognition: Recognition, gallery: GalleryView, calibration: Calibration, options: IdentifyOptions
) -> Match:
    """The nearest people.

    The probability is Bayes' over everyone enrolled and "nobody", with equal priors for all enrolled.
    """
    if not len(gallery.templates):
        return Match((), gallery.threshold, gallery.tentative_threshold, gallery.reason_if_empty)
    # One matrix-vector product a track: a batched product rounds differently from batch to batch.
    cosines = gallery.templates @ recognition.template
    raw = recognition.scale * cosines + recognition.shift
    scores = (raw * gallery.heads[:, 0] + gallery.heads[:, 1]).astype(np.float64)
    llr = calibration.scale * scores - calibration.offset
    prior = options.enrolled_share / len(scores)
    odds = prior * np.exp(np.clip(llr, -50, 50))
    probabilities = odds / (1 - options.enrolled_share + odds.sum())
    best = np.argsort(-scores, kind="stable")[: options.num_candidates]
    candidates = tuple(Candidate(gallery.person_ids[i], float(scores[i]), float(probabilities[i])) for i in best)
    return Match(candidates, gallery.threshold, gallery.tentative_threshold)
