"""Whether a model's probabilities can be believed. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_BINS = 10
# A true label with probability 0 would make the whole mean infinite.
_LEAST = 1e-15


def calibration(probabilities: NDArray[np.float64], labels: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """The reliability bins, the expected calibration error, the log loss and the Brier score, ready for JSON; None without images.

    - `bins`: ten of equal width over the top probability, upper end included (Niculescu-Mizil & Caruana 2005); `confidence` is the mean top
      probability of its images, `accuracy` the share of them that is right, both None where there is no image;
    - `expected_error`: the mean of |accuracy − confidence| over the bins, each weighted by its images (Naeini et al. 2015);
    - `log_loss`: the mean of −ln p of the true label (Good 1952), p at least 10⁻¹⁵, over images whose label the model knows;
    - `brier`: the mean over images of Σₖ (pₖ − [k is the label])² (Brier 1950), from 0 to 2.

    Parameters
    ----------
    probabilities : (n_images, n_classes), rows sum to 1
    labels : (n_images,) str; one that is not among the classes counts as wrong
    classes : (n_classes,) str
    """
    if not len(labels):
        return {"bins": _bins(np.empty(0), np.empty(0, bool)), "expected_error": None, "log_loss": None, "brier": None}
    index = {name: i for i, name in enumerate(classes)}
    truth = np.array([index.get(label, -1) for label in labels])
    known = truth >= 0
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    ours = probabilities[np.arange(len(truth)), truth]
    bins = _bins(top, right)
    gaps = [row["n_images"] * abs(row["accuracy"] - row["confidence"]) for row in bins if row["n_images"]]
    return {
        "bins": bins,
        "expected_error": float(sum(gaps) / len(truth)),
        "log_loss": float(-np.log(ours[known].clip(_LEAST)).mean()) if known.any() else None,
        # Σ p² less what the label's own term, p², becomes: (p − 1)².
        "brier": float(((probabilities**2).sum(axis=1) + np.where(known, 1 - 2 * ours, 1.0)).mean()),
    }


def _bins(top: NDArray[np.float64], right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    ends = np.arange(1, N_BINS) / N_BINS
    of_bin = np.digitize(top, ends, right=True)
    rows = []
    for i in range(N_BINS):
        chosen = of_bin == i
        n = int(chosen.sum())
        rows.append(
            {
                "low": i / N_BINS,
                "high": (i + 1) / N_BINS,
                "n_images": n,
                "confidence": float(top[chosen].mean()) if n else None,
                "accuracy": float(right[chosen].mean()) if n else None,
            }
        )
    return rows
