"""The metrics of a run: its scores, official and group-safe, with intervals over groups, and what makes them too good."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pomona import judgement

if TYPE_CHECKING:
    import pandas as pd


def measured(
    rows: pd.DataFrame, *, classes: Sequence[str], unsafe_groups: Collection[str], resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """The parts `official` and `group_safe` of the metrics document.

    Parameters
    ----------
    rows : test images: label, prediction, group
    unsafe_groups : whose test images are too close to training images
    """
    labels, predictions, groups = (rows[name].to_numpy() for name in ("label", "prediction", "group"))
    official = judgement.scores(labels, predictions, classes)
    official["n_groups"] = len(set(groups))
    safe, held = judgement.group_safe(labels, predictions, groups, unsafe_groups=unsafe_groups, classes=classes)
    for scores, chosen in ((official, np.ones(len(rows), dtype=bool)), (safe, held)):
        for statistic in ("accuracy", "macro_f1"):
            found = judgement.interval(
                labels[chosen], predictions[chosen], groups[chosen], statistic=statistic, resamples=resamples, seed=seed
            )
            scores[f"{statistic}_interval"] = [found.low, found.high]
    return {"official": official, "group_safe": safe}
