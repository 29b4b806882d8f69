"""The verdict on a challenger: promote or keep. NumPy only."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from pomona.scoring import Names, difference_interval, members_of
from pomona.scoring import group_safe as group_safe
from pomona.scoring import interval as interval
from pomona.scoring import scores as scores


class Verdict(NamedTuple):
    """What to do with the challenger, why in one line, and the figures behind it."""

    decision: Literal["promote", "keep"]
    reason: str
    figures: dict[str, Any]


def compare(
    labels: Names,
    groups: Names,
    champion: Names,
    challenger: Names,
    *,
    margin: float,
    min_test: int,
    resamples: int,
    seed: int,
) -> Verdict:
    """The verdict on a challenger, from both models' predictions on the same images, which neither trained on.

    It is promoted when its accuracy is not more than `margin` below the champion's. The interval of the difference, groups resampled, is
    printed beside the decision and does not take part in it.

    Parameters
    ----------
    labels, groups, champion, challenger : (n_images,) str, row by row the same image
    """
    truth = np.asarray(labels, dtype=object)
    old, new = (np.asarray(names, dtype=object) == truth for names in (champion, challenger))
    members, n_groups = members_of(groups)
    n_images = len(members)
    figures: dict[str, Any] = {"n_images": n_images, "n_groups": n_groups, "margin": margin, "min_test": min_test}
    if n_images < max(min_test, 1):
        return Verdict("keep", f"only {n_images:,} test images that neither model trained on, min_test asks for {min_test:,}", figures)
    wins, losses = int((new & ~old).sum()), int((old & ~new).sum())
    difference = (wins - losses) / n_images
    spread = difference_interval(old, new, members, n_groups, resamples=resamples, seed=seed)
    figures |= {
        "champion_accuracy": float(old.mean()),
        "challenger_accuracy": float(new.mean()),
        "difference": difference,
        "low": spread.low,
        "high": spread.high,
        "only_challenger_right": wins,
        "only_champion_right": losses,
    }
    # One part in 10¹² for the rounding of the subtraction: a loss of exactly the margin is allowed.
    promoted = difference >= -margin - 1e-12
    between = spread.why if spread.low is None or spread.high is None else f"95 % interval {_points(spread.low)} to {_points(spread.high)}"
    reason = (
        f"accuracy {100 * new.mean():.1f} % against the champion's {100 * old.mean():.1f} %: {_points(difference)} points ({between}), "
        f"{'within' if promoted else 'beyond'} the margin of {100 * margin:g}, on {n_images:,} images in {n_groups:,} groups"
    )
    return Verdict("promote" if promoted else "keep", reason, figures)


def without_comparison(*, n_test: int, champion: int | None, trouble: str = "") -> Verdict | None:
    """The verdict where there is nothing to compare, or None where `compare` decides.

    Without test images nothing is known of the challenger, so it is kept back even when there is no champion.

    Parameters
    ----------
    n_test : test images of the run
    champion : its version; None when the name has none yet
    trouble : why the champion cannot be asked ("its files are missing"); empty when it answered
    """
    figures: dict[str, Any] = {"n_images": n_test}
    if n_test == 0:
        return Verdict("keep", "there are no test images: nothing is known about this model", figures)
    if champion is None:
        return Verdict("promote", "the first model", figures)
    if trouble:
        return Verdict("keep", f"champion version {champion} cannot be asked: {trouble}", figures)
    return None


def _points(share: float) -> str:
    """A difference of shares in percentage points, with its sign: `+1.2`, `−0.4`, `0.0`."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")
