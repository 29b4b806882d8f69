"""Whether two models' answers to the same images differ by more than chance: sign flips of whole groups, exact. NumPy only.

If both models are equally good, each group could as well have come out the other way round. So the test flips the sign of every
group's difference in all 2ⁿ ways and asks how many of these are at least as extreme as what was seen. A group's difference is a whole
number of images, so that all flips are counted by adding up sums instead of drawing some of them (Pagano & Tritchler 1983): the
result is exact for any number of groups and needs no seed. Where every group is one image this is McNemar's exact test (McNemar
1947), the binomial test on the images that one model alone has right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.scoring import Integers, Names, members_of


class Paired(NamedTuple):
    """How often two equally good models would come out so far apart, in the direction named, and by which test.

    `loss` and `gain` are one-sided: the second model as much worse, or better, as seen or more. `two_sided` is either.
    """

    test: str
    n_groups: int
    n_differing: int
    loss: float
    gain: float
    two_sided: float


def paired(old: NDArray[np.bool_], new: NDArray[np.bool_], groups: Names) -> Paired:
    """The paired test of two models on the same images, whole groups flipped.

    Parameters
    ----------
    old, new : (n_images,) bool: which images each model has right; n_images may be 0, then every chance is 1
    groups : (n_images,) str
    """
    members, n_groups = members_of(groups)
    gains = np.bincount(members, weights=new.astype(np.float64) - old, minlength=n_groups).astype(np.int64)
    single = n_groups == len(members)
    loss, gain, two_sided = sign_flips(gains)
    return Paired(
        "McNemar's exact test" if single else "sign flips of groups", n_groups, int(np.count_nonzero(gains)), loss, gain, two_sided
    )


def sign_flips(gains: Integers) -> tuple[float, float, float]:
    """The shares of all sign flips whose sum is at most, at least, and in size at least that of the gains as they are.

    Parameters
    ----------
    gains : (n_groups,) int64: images that the second model has right and the first has not, less the other way round
    """
    sizes = np.sort(np.abs(gains[gains != 0]))
    total, seen = int(sizes.sum()), int(gains[gains > 0].sum())
    # How likely it is that the groups that come out positive sum to 0, 1, …, total.
    share = np.zeros(total + 1)
    share[0], reached = 1.0, 0
    for size in sizes.tolist():
        reached += size
        share[: reached + 1] *= 0.5
        share[size : reached + 1] += share[: reached + 1 - size].copy()
    low, high = float(share[: seen + 1].sum()), float(share[seen:].sum())
    return min(low, 1.0), min(high, 1.0), min(2 * min(low, high), 1.0)


def holm(chances: Sequence[float], *, level: float) -> list[bool]:
    """Which of several tests are significant when all are asked at once (Holm 1979): the smallest at level/n, the next at level/(n−1), …"""
    found = [False] * len(chances)
    for rank, index in enumerate(sorted(range(len(chances)), key=lambda index: chances[index])):
        if chances[index] > level / (len(chances) - rank):
            break
        found[index] = True
    return found
