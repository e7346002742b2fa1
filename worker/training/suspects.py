"""Whether a folder's images look like one person's: two people may have got into it."""

import numpy as np

from worker.types import Float32

_APART = 0.3  # cosine: mixed folders fall apart at it (97 %), and 3 of the 740 of LFW that have three images or more
_PAIR_APART = 0.2  # of two images alone: at 0.3 it would be 7 of 659 folders instead of 2


def suspects(name: str, clean: Float32) -> list[str]:
    """A line for each group of images [N, 128] that is unlike the largest, even by way of others."""
    units = clean / np.linalg.norm(clean, axis=1, keepdims=True)
    cosines = units @ units.T
    groups = _groups(cosines >= (_APART if len(clean) > 2 else _PAIR_APART))
    lines = []
    for group in sorted(groups, key=len, reverse=True)[1:]:
        numbers = ", ".join(str(number + 1) for number in group)
        nearest = float(np.delete(cosines[group], group, axis=1).max())
        lines.append(
            f"{name}, usable image {numbers} of {len(clean)}: no likeness to the others above {nearest:.2f}, "
            "do two people share the folder? All are used"
        )
    return lines


def _groups(alike: np.ndarray) -> list[list[int]]:
    """The numbers that hang together, where ``alike`` [N, N] says which pairs do; in order of the first."""
    left, groups = list(range(len(alike))), []
    while left:
        group, waiting = [], [left.pop(0)]
        while waiting:
            group.append(waiting.pop())
            near = [number for number in left if alike[group[-1], number]]
            waiting += near
            left = [number for number in left if number not in near]
        groups.append(sorted(group))
    return groups
