"""The metrics of a run: its scores, official and group-safe, with intervals over groups, and what makes them too good."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pomona import scoring

if TYPE_CHECKING:
    import pandas as pd

_COPIES = 50
_NAMES_OF_A_COPY = 4
_GROUPS = 12
_IMAGES_OF_A_GROUP = 4


def scored(
    rows: pd.DataFrame, *, classes: Sequence[str], unsafe_groups: Collection[str], resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """The parts `official` and `group_safe` of the metrics document.

    Parameters
    ----------
    rows : test images: label, prediction, group
    unsafe_groups : whose test images are too close to training images
    """
    labels, predictions, groups = (rows[name].to_numpy() for name in ("label", "prediction", "group"))
    official = scoring.scores(labels, predictions, classes)
    official["n_groups"] = len(set(groups))
    safe, held = scoring.group_safe(labels, predictions, groups, unsafe_groups=unsafe_groups, classes=classes)
    for scores, chosen in ((official, np.ones(len(rows), dtype=bool)), (safe, held)):
        columns = labels[chosen], predictions[chosen], groups[chosen]
        for statistic in ("accuracy", "macro_f1"):
            found = scoring.interval(*columns, statistic=statistic, resamples=resamples, seed=seed)
            scores[f"{statistic}_interval"] = [found.low, found.high]
        recalls = scoring.recall_intervals(*columns, scores["classes"], resamples=resamples, seed=seed)
        for name, between in recalls.items():
            scores["per_class"][name] |= {"recall_interval": [between.low, between.high], "groups": between.n_groups}
    return {"official": official, "group_safe": safe}


def leakage(
    rows: pd.DataFrame,
    *,
    exact: Mapping[str, Sequence[str]],
    near: pd.DataFrame,
    max_distance: int,
    shared_groups: Sequence[str],
    linked_groups: Sequence[tuple[str, str]],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The part `leakage` of the metrics document: copies across the split, with the scores on the test images that have none.

    Parameters
    ----------
    rows : test images: content, label, prediction, group
    exact : content of a test image → paths of its training copies, which were removed
    near : the rows of `near_copies`
    shared_groups, linked_groups : as ingest and `leakage.linked_by_near_copies` name them
    """
    pairs = _shown(near.merge(rows[["content", "group"]], on="content"), ["distance", "content"])
    copied, alike = rows["content"].isin(list(exact)), rows["content"].isin(near["content"])
    return {
        "exact": {
            "n_test": int(copied.sum()),
            "n_removed": sum(map(len, exact.values())),
            "without": _score(rows[~copied], resamples=resamples, seed=seed),
            "copies": [
                {"test": test, "train": list(exact[test][:_NAMES_OF_A_COPY]), "n_train": len(exact[test])}
                for test in _shown(rows[copied], ["group", "content"])["content"]
            ],
        },
        "near": {
            "n_test": int(alike.sum()),
            "max_distance": max_distance,
            "without": _score(rows[~alike], resamples=resamples, seed=seed),
            "pairs": [
                {"test": test, "train": train, "distance": int(distance)}
                for test, train, distance in zip(pairs["content"], pairs["train_content"], pairs["distance"], strict=True)
            ],
        },
        "shared_groups": list(shared_groups),
        "linked_groups": [list(pair) for pair in linked_groups],
    }


def worst_groups(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The part `worst_groups` of the metrics document: at most 12 groups with a wrong image, lowest accuracy first.

    Of equal accuracy the group with more images comes first.

    Parameters
    ----------
    rows : test images: content, label, prediction, group
    """
    judged = rows.assign(right=rows["label"] == rows["prediction"])
    of_group = judged.groupby("group")["right"].agg(["mean", "size"]).reset_index()
    worst = of_group[of_group["mean"] < 1].sort_values(["mean", "size", "group"], ascending=[True, False, True]).head(_GROUPS)
    return [_group(str(group), judged[judged["group"] == group].sort_values(["right", "content"])) for group in worst["group"]]


def _group(name: str, images: pd.DataFrame) -> dict[str, Any]:
    """One group's entry; its wrong images come first."""
    wrong = images[~images["right"]]
    taken = sorted(wrong["prediction"].value_counts().items(), key=lambda entry: (-entry[1], entry[0]))
    return {
        "group": name,
        "label": str(wrong["label"].iloc[0]),
        "n_images": len(images),
        "accuracy": float(images["right"].mean()),
        "taken_for": {str(label): int(n) for label, n in taken},
        "contents": images["content"].head(_IMAGES_OF_A_GROUP).tolist(),
    }


def _score(rows: pd.DataFrame, *, resamples: int, seed: int) -> dict[str, Any]:
    labels, predictions, groups = (rows[name].to_numpy() for name in ("label", "prediction", "group"))
    found = scoring.scores(labels, predictions, ())
    between = scoring.interval(labels, predictions, groups, statistic="accuracy", resamples=resamples, seed=seed)
    return {
        "accuracy": found["accuracy"],
        "accuracy_interval": [between.low, between.high],
        "macro_f1": found["macro_f1"],
        "n_images": len(rows),
        "n_groups": len(set(groups)),
    }


def _shown(copies: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """At most 50 rows in this order, drawn from the groups in turn, so that a group with many copies does not hide the others."""
    turns = copies.sort_values(order)
    turns["turn"] = turns.groupby("group").cumcount()
    return turns.sort_values(["turn", *order]).head(_COPIES).sort_values(order)
