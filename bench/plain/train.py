"""Training: a logistic regression on the features, one on the histograms alone, and the whole chain cross-validated by groups.

Order: `features`, Parquet files with content, label, split, group, features; `descriptors`, Parquet files; `regularisation`,
`max_iterations`, `folds`, `fold_images`, `fold_sample`, `fold_iterations`, `n_words`, `n_components`, `projection_images`, `seed`,
`colour_weight`, `histogram_weight`; `resamples`; `target`, an .npz file. Found: `train`, `folds`, `accuracy` of the cross-validation.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from bench.plain.clock import Order, clocked
from bench.plain.encode import bag, principal, read
from bench.plain.intervals import intervals
from bench.plain.learn_vocabulary import N_DIMS, k_means, rooted


def train(order: Order) -> Order:
    rows = pa.concat_tables(pq.read_table(path, use_threads=False) for path in order["features"]).to_pandas()
    rows = rows[rows["split"] == "train"]
    model = classifier(np.stack(rows["features"]), rows, order)
    np.savez(order["target"], coef=model.coef_, intercept=model.intercept_, classes=model.classes_)
    sample = rows.sample(frac=1, random_state=order["seed"])
    sample["turn"] = sample.groupby("group").cumcount()
    sample = sample.sort_values("turn", kind="stable").head(order["fold_images"])
    wanted = set(sample["content"])
    described = {
        content: (matrix, histogram) for path in order["descriptors"] for content, matrix, histogram, _ in read(path) if content in wanted
    }
    histograms = np.sqrt([described[content][1] for content in sample["content"]])
    classifier(histograms, sample, {**order, "regularisation": 30.0})
    predictions = cross_validated(sample, [described[content] for content in sample["content"]], order)
    found = intervals(sample["label"].to_numpy(), predictions, sample["group"].to_numpy(), order["resamples"])
    return {"train": len(rows), "folds": order["folds"], "accuracy": found["accuracy"]}


def classifier(features: np.ndarray, rows: pd.DataFrame, order: Order) -> Any:
    """A logistic regression in which groups weigh the same, and then classes."""
    weights = 1 / rows.groupby(["label", "group"])["label"].transform("size").to_numpy(float)
    weights /= pd.Series(weights).groupby(rows["label"].to_numpy()).transform("sum").to_numpy()
    weights *= len(rows[["label", "group"]].drop_duplicates()) / weights.sum()
    model = LogisticRegression(C=order["regularisation"], max_iter=order["max_iterations"])
    return model.fit(features, rows["label"].to_numpy(), sample_weight=weights)


def cross_validated(rows: pd.DataFrame, described: list[tuple[np.ndarray, np.ndarray]], order: Order) -> np.ndarray:
    """A prediction for each row, by words, axes and classifier that saw no row of its group."""
    labels, groups = rows["label"].to_numpy(), rows["group"].to_numpy()
    predictions = np.full(len(rows), "", object)
    random = np.random.default_rng(order["seed"])
    for inside, outside in StratifiedGroupKFold(order["folds"]).split(rows, labels, groups):
        every = np.concatenate([np.empty((0, N_DIMS), np.uint8), *(described[row][0] for row in inside)])
        chosen = random.permutation(len(every))[: order["fold_sample"]]
        words = k_means(rooted(every[chosen], order["colour_weight"]), order["n_words"], order["fold_iterations"], order["seed"])
        vectors = np.array([bag(matrix, histogram, words, order) for matrix, histogram in described])
        mean, axes = principal(vectors[inside], order)
        features = (vectors - mean) @ axes.T
        predictions[outside] = classifier(features[inside], rows.iloc[inside], order).predict(features[outside])
    return predictions


if __name__ == "__main__":
    faiss.omp_set_num_threads(1)
    clocked(train)
