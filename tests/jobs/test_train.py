"""What train gathers, draws and fits beside the classifier: its rows, the sample of its cross-validation, the baseline by colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from pomona.formats import arrow_schema
from pomona.jobs.train import baseline, gathered, sampled
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.vision.chain import Row
from pomona.vision.classify import probabilities
from pomona.vision.describe import N_BINS, Description


def images(**sizes: int) -> pd.DataFrame:
    """So many images of each group, which is its own label."""
    rows = [(f"{group}{number:03d}", group, group) for group, size in sizes.items() for number in range(size)]
    return pd.DataFrame(rows, columns=["content", "label", "group"])


def drawn(rows: pd.DataFrame, **options: Any) -> list[str]:
    return sampled(rows, **{"n_images": 10, "seed": 0, **options})["content"].tolist()


def test_small_groups_are_taken_whole_and_the_others_share_what_is_left() -> None:
    rows = images(a=2, b=50, c=50)
    found = sampled(rows, n_images=10, seed=0)
    assert found["group"].value_counts().to_dict() == {"a": 2, "b": 4, "c": 4}
    assert found["content"].tolist() == sorted(found["content"])
    assert list(found.columns) == ["content", "label", "group"]


def test_the_sample_is_a_function_of_the_set_of_rows_and_the_seed() -> None:
    rows = images(a=20, b=20)
    assert drawn(rows) == drawn(rows.sample(frac=1, random_state=1)) != drawn(rows, seed=1)
    assert drawn(rows)[:5] != [f"a00{number}" for number in range(5)], "by a hash, not the first by name"
    assert drawn(rows, n_images=1000) == rows["content"].tolist()


def test_a_label_of_few_images_is_in_the_sample_however_many_groups_there_are() -> None:
    contents = [f"{number:03d}" for number in range(303)]
    rows = pd.DataFrame({"content": contents, "label": ["whole"] * 300 + ["broken"] * 3, "group": contents})
    for seed in range(20):
        assert sampled(rows, n_images=10, seed=seed)["label"].value_counts().to_dict() == {"whole": 8, "broken": 2}


def test_the_baseline_goes_by_colours_and_weighs_groups_alike() -> None:
    red, green = (np.eye(N_BINS, dtype=np.float32)[index] for index in (0, 1))
    no_descriptors = np.empty((0, 135), np.uint8)

    def rows(label: str, group: str, histogram: np.ndarray[Any, Any], n: int) -> list[Row]:
        return [Row(f"{group}{i}", label, group, Description(no_descriptors, histogram)) for i in range(n)]

    knobs = resolve({"balance": "none", "regularisation": 0.001})
    unequal = baseline([*rows("apple", "one", red, 18), *rows("lime", "two", red, 2)], knobs)
    assert probabilities(unequal, np.sqrt(red).astype(float)) == pytest.approx([0.5, 0.5], abs=1e-3)
    told = baseline([*rows("apple", "one", red, 5), *rows("lime", "two", green, 5)], knobs)
    assert [told.classes[int(probabilities(told, np.sqrt(each).astype(float)).argmax())] for each in (red, green)] == ["apple", "lime"]
    # As sure as the C of the baseline allows, not as that of the model, which is next to none.
    assert probabilities(told, np.sqrt(red).astype(float))[0] > 0.8


def test_the_baseline_is_a_logistic_regression_on_the_roots_of_shares() -> None:
    histograms = np.random.default_rng(0).dirichlet(np.ones(N_BINS), 30).astype(np.float32)
    labels = ["apple", "lime", "plum"] * 10
    no_descriptors = np.empty((0, 135), np.uint8)
    rows = [Row(f"{i}", label, f"{i}", Description(no_descriptors, histograms[i])) for i, label in enumerate(labels)]
    found = baseline(rows, resolve({"preset": "classic"}))
    roots = np.sqrt(histograms.astype(np.float64))
    peer = LogisticRegression(C=30, max_iter=200).fit(roots, labels)
    assert np.array([probabilities(found, row) for row in roots]) == pytest.approx(peer.predict_proba(roots), abs=1e-6)


def test_rows_are_gathered_by_content_and_copy_wherever_they_lie_and_test_rows_stay_out(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path), "fruit").open()

    def written(*rows: tuple[str, int, str]) -> Any:
        columns = {name: [row[index] for row in rows] for index, name in enumerate(("content", "copy", "split"))}
        given = columns | {name: ["-"] * len(rows) for name in ("image", "label", "group")}
        table = pa.Table.from_pydict(given | {"features": [[float(ord(row[0])), row[1]] for row in rows]}, schema=arrow_schema("features"))
        return lake.write_rows("runs/r/features", "features", table)

    files = [written(("b", 0, "train"), ("a", 1, "train"), ("c", 0, "test")), written(("a", 0, "train"), ("a", -1, "train"))]
    for order in (files, files[::-1]):
        table, matrix = gathered(lake, order, max_mb=1)
        assert table["content"].to_pylist() == ["a", "a", "a", "b"]
        assert matrix.tolist() == [[97, -1], [97, 0], [97, 1], [98, 0]]
