"""Names as the decide stage gives them: after three frames in a row above the threshold.

A stranger counts once a track, with the highest score that three frames in a row reach with one person at any time:
a rate of frames says little where a decision is taken at every frame.
"""

import numpy as np
from numpy.typing import NDArray

IN_A_ROW = 3


def ever_confirmed(scores_TBG: NDArray, in_a_row: int = IN_A_ROW) -> NDArray:
    """The highest threshold [B, G] at which each comparison is ever confirmed; -inf for tracks that are too short."""
    if len(scores_TBG) < in_a_row:
        return np.full(scores_TBG.shape[1:], -np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(scores_TBG, in_a_row, axis=0)
    highest: NDArray = windows.min(-1).max(0)
    return highest


def leading(scores_TBG: NDArray, own: NDArray) -> NDArray:
    """The own score [B, T] at each frame where it is the highest of the gallery, else -inf."""
    mine = np.take_along_axis(scores_TBG, own[None, :, None], 2)[..., 0]
    return np.where(mine >= scores_TBG.max(2), mine, -np.inf).T


def frames_until(leading_BT: NDArray, threshold: float, in_a_row: int = IN_A_ROW) -> NDArray:
    """Frames [B] until the right person is confirmed, at least ``in_a_row``; 0 for tracks that end before."""
    above = leading_BT > threshold
    if above.shape[1] < in_a_row:
        return np.zeros(len(above), int)
    confirmed = np.asarray(np.lib.stride_tricks.sliding_window_view(above, in_a_row, axis=1).all(-1))
    return np.where(confirmed.any(1), confirmed.argmax(1) + in_a_row, 0)
