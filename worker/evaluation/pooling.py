"""The opponents: what makes a template of a track without learning anything. Scored by the cosine.

Legend of shapes: B tracks, T frames, E = 128, G people enrolled, K photos each, L lengths at which a track is judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.types import Float32

_EPS = 1e-12


@dataclass(frozen=True, slots=True)
class Centers:
    """Mean template of training people's tracks, and their mean photo [E]: subtracted before the cosine."""

    probe: NDArray
    gallery: NDArray


@dataclass(frozen=True, slots=True)
class Pooling:
    """``rule`` is ``first``, ``best`` or ``mean``; a mean weighs frames by their norm to the power ``exponent``."""

    rule: str = "mean"
    exponent: float = 0.0
    centers: Centers | None = None

    def templates(self, frames_BTE: Float32, lengths: Sequence[int]) -> NDArray:
        """Unit templates [L, B, E] of raw embeddings, judged after each of ``lengths`` frames."""
        at = np.asarray(lengths) - 1
        norms = np.linalg.norm(frames_BTE, axis=2)
        units = frames_BTE / (norms[..., None] + _EPS)
        if self.rule == "mean":
            # Scaled to the track's largest norm, or the eighth power leaves float32.
            weights = (norms / norms.max(1, keepdims=True)) ** self.exponent
            pooled = np.cumsum(weights[..., None] * units, axis=1)[:, at]
        else:
            pooled = np.take_along_axis(units, self._frames(norms)[:, at, None], 1)
        return centered(unit(pooled.swapaxes(0, 1)), self.centers.probe if self.centers else None)

    def scores(self, frames_BTE: Float32, photos_GKE: Float32, lengths: Sequence[int]) -> NDArray:
        """Cosines [L, B, G]."""
        gallery = centered(unit(fused(photos_GKE)), self.centers.gallery if self.centers else None)
        templates = self.templates(frames_BTE, lengths)
        # One plain product: a stack of products of views is ten times slower.
        flat = np.ascontiguousarray(templates.reshape(-1, templates.shape[2]), np.float32)
        cosines: NDArray = (flat @ gallery.T.astype(np.float32)).reshape(*templates.shape[:2], len(gallery))
        return cosines

    def _frames(self, norms: NDArray) -> NDArray:
        """Which frame [B, T] stands for the track at each length."""
        if self.rule == "first":
            return np.zeros(norms.shape, int)
        best = np.maximum.accumulate(norms, axis=1)
        return np.maximum.accumulate(np.where(norms == best, np.arange(norms.shape[1]), 0), axis=1)


def opponents(centers: Centers) -> dict[str, Pooling]:
    """Every rule by its name in the tables."""
    plain = {
        "first": Pooling("first"),
        "best": Pooling("best"),
        "mean": Pooling(exponent=0),
        "norm": Pooling(exponent=1),
        "norm8": Pooling(exponent=8),
    }
    weighted = {name: Pooling("mean", plain[name].exponent, centers) for name in ("mean", "norm", "norm8")}
    return plain | {f"centred_{name}": pooling for name, pooling in weighted.items()}


def measured_centers(tracks_NTE: Float32, photos_NE: Float32) -> Centers:
    """From training people: mean norm^8 template of tracks, and mean photo."""
    templates = Pooling(exponent=8).templates(tracks_NTE, [tracks_NTE.shape[1]])[0]
    return Centers(templates.mean(0), unit(photos_NE).mean(0))


def fused(photos_GKE: Float32) -> Float32:
    """One raw embedding [G, E] a person: the mean of the directions, at the mean length, as the gallery does it."""
    norms = np.linalg.norm(photos_GKE, axis=2, keepdims=True)
    one: Float32 = ((photos_GKE / norms).mean(1) * norms.mean(1)).astype(np.float32)
    return one


def unit(vectors: NDArray) -> NDArray:
    """Of unit length along the last axis."""
    scaled: NDArray = vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + _EPS)
    return scaled


def centered(units: NDArray, center: NDArray | None) -> NDArray:
    """Unit vectors, less the centre, of unit length again."""
    return units if center is None else unit(units - center)
