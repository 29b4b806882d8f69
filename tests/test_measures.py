"""What the metrics say of scores: intervals of recalls, copies across the split, the groups that are recognised worst."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from demo.orchard import picture
from pomona import measures, near_copies
from pomona.leakage import select
from pomona.scoring import recall_intervals
from pomona.tasks import Tasks
from pomona.vision.corruptions import CORRUPTIONS
from pomona.vision.fingerprint import fingerprint

COLUMNS = ["content", "label", "prediction", "group"]
DRAWING = {"resamples": 400, "seed": 1}


def rows(*images: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(images), columns=COLUMNS)


def group(name: str, label: str, right: int, wrong: int, taken_for: str = "?") -> list[tuple[str, str, str, str]]:
    """Images of one group, the right ones first; contents name group and place."""
    guesses = [label] * right + [taken_for] * wrong
    return [(f"{name}-{i:02}", label, guess, name) for i, guess in enumerate(guesses)]


def near(*pairs: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(list(pairs), columns=["content", "train_content", "distance"])


def leakage(
    images: pd.DataFrame, exact: dict[str, list[str]] | None = None, copies: pd.DataFrame | None = None, **others: Any
) -> dict[str, Any]:
    named = {"shared_groups": [], "linked_groups": [], **others}
    return measures.leakage(images, exact=exact or {}, near=near() if copies is None else copies, max_distance=3, **named, **DRAWING)


# Recalls


def test_the_recall_of_a_class_has_an_interval_over_its_own_groups() -> None:
    images = rows(*group("A/1", "A", 10, 0), *group("A/2", "A", 0, 10, "B"), *group("B/1", "B", 3, 1, "A"))
    found = recall_intervals(images["label"].tolist(), images["prediction"].tolist(), images["group"].tolist(), ("A", "B", "C"), **DRAWING)
    # A: two groups of ten, one all right, one all wrong: a resample has 0, ½ or 1.
    assert found["A"] == (0.0, 1.0, 20, 2, "")
    assert found["B"][:4] == (None, None, 4, 1)
    assert found["C"][:4] == (None, None, 0, 0)


def test_official_and_group_safe_scores_tell_recalls_with_intervals_and_groups() -> None:
    images = rows(*group("A/1", "A", 4, 0), *group("A/2", "A", 2, 2, "B"), *group("B/1", "B", 4, 0), *group("B/2", "B", 4, 0))
    found = measures.scored(images, classes=("A", "B"), unsafe_groups={"A/2"}, **DRAWING)
    assert found["official"]["per_class"]["A"]["recall_interval"] == [0.5, 1.0]
    assert found["official"]["per_class"]["A"]["groups"] == 2
    assert found["official"]["per_class"]["B"]["recall_interval"] == [1.0, 1.0]
    assert found["group_safe"]["per_class"]["A"] == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 4, "predicted": 4, "recall_interval": [None, None], "groups": 1,
    }  # fmt: skip
    assert (found["group_safe"]["n_images"], found["group_safe"]["n_groups"], found["group_safe"]["left_out"]) == (12, 3, ["A/2"])


# Copies


def test_the_score_without_copies_is_that_of_the_images_that_have_none() -> None:
    images = rows(*group("A/1", "A", 6, 4, "B"), *group("B/1", "B", 5, 5, "A"))
    found = leakage(images, {"A/1-00": ["t/1", "t/2"], "A/1-01": ["t/3"]}, near(("A/1-02", "t1", 1), ("B/1-09", "t2", 3)))
    exact, alike = found["exact"], found["near"]
    assert (exact["n_test"], exact["n_removed"]) == (2, 3)
    # Of 20 images 11 are right; both copies are.
    assert exact["without"]["accuracy"] == pytest.approx(9 / 18)
    assert (exact["without"]["n_images"], exact["without"]["n_groups"]) == (18, 2)
    # A: 4 of 8 right, 5 of B taken for A: F1 = 8 / (8 + 9). B: 5 of 10, 4 of A taken for B: 10 / (10 + 9).
    assert exact["without"]["macro_f1"] == pytest.approx((8 / 17 + 10 / 19) / 2)
    low, high = exact["without"]["accuracy_interval"]
    assert (low, high) == (0.5, 0.5)  # both groups have ½
    assert (alike["n_test"], alike["max_distance"]) == (2, 3)
    assert alike["without"]["accuracy"] == pytest.approx((11 - 1) / 18)


def test_a_clean_split_raises_nothing() -> None:
    images = rows(*group("A/1", "A", 3, 0), *group("B/1", "B", 2, 1, "A"))
    found = leakage(images)
    whole = {"accuracy": 5 / 6, "n_images": 6, "n_groups": 2}
    for kind in ("exact", "near"):
        assert found[kind]["n_test"] == 0
        assert {name: found[kind]["without"][name] for name in whole} == whole
    assert (found["exact"]["n_removed"], found["exact"]["copies"], found["near"]["pairs"]) == (0, [], [])
    assert (found["shared_groups"], found["linked_groups"]) == ([], [])


def test_without_a_test_image_that_has_no_copy_there_is_no_score() -> None:
    images = rows(*group("A/1", "A", 2, 0))
    found = leakage(images, {content: ["t"] for content in images["content"]})["exact"]
    assert found["n_test"] == 2
    assert found["without"] == {"accuracy": None, "accuracy_interval": [None, None], "macro_f1": None, "n_images": 0, "n_groups": 0}


def test_groups_on_both_sides_and_linked_ones_are_named() -> None:
    found = leakage(rows(*group("A/1", "A", 1, 0)), shared_groups=["A/1"], linked_groups=[("A/1", "A/7")])
    assert (found["shared_groups"], found["linked_groups"]) == (["A/1"], [["A/1", "A/7"]])


def test_fifty_pairs_are_shown_nearest_first_and_every_group_has_its_share() -> None:
    images = rows(*group("A/1", "A", 90, 0), *group("B/1", "B", 7, 0), *group("C/1", "C", 40, 0))
    copies = [(f"A/1-{i:02}", f"t{i}", 0) for i in range(90)] + [(f"B/1-{i:02}", f"u{i}", 3) for i in range(7)]
    copies += [(f"C/1-{i:02}", f"v{i}", i % 4) for i in range(40)]
    found = leakage(images, copies=near(*copies, ("no test image", "t0", 0)))["near"]
    pairs = found["pairs"]
    assert (found["n_test"], len(pairs)) == (137, 50)
    assert [pair["distance"] for pair in pairs] == sorted(pair["distance"] for pair in pairs)
    shares = pd.Series([pair["test"][:3] for pair in pairs]).value_counts().to_dict()
    # In turns of three: all 7 of B, and the other 43 from A and C in turn, the nearer first.
    assert shares == {"A/1": 22, "C/1": 21, "B/1": 7}
    assert pairs[0] == {"test": "A/1-00", "train": "t0", "distance": 0}
    assert {pair["distance"] for pair in pairs if pair["test"].startswith("C")} == {0, 1, 2}


def test_fifty_exact_copies_are_shown_with_four_names_each_and_every_group_has_its_share() -> None:
    images = rows(*group("A/1", "A", 90, 0), *group("B/1", "B", 2, 0))
    names = [f"train/{i}" for i in range(7)]
    found = leakage(images, {content: names[: 1 + i % 7] for i, content in enumerate(images["content"])})["exact"]
    assert (found["n_test"], len(found["copies"])) == (92, 50)
    assert [copy["test"] for copy in found["copies"]] == [*(f"A/1-{i:02}" for i in range(48)), "B/1-00", "B/1-01"]
    assert found["copies"][5] == {"test": "A/1-05", "train": names[:4], "n_train": 6}


# Groups


def test_the_worst_groups_come_first_with_what_they_are_taken_for_and_wrong_images_first() -> None:
    images = rows(
        *group("good", "A", 9, 0), *group("bad", "A", 1, 3, "B"), *group("worst", "B", 0, 2, "A"), *group("long", "B", 0, 6, "C"),
        ("mixed-0", "A", "A", "mixed"), ("mixed-1", "A", "C", "mixed"), ("mixed-2", "A", "B", "mixed"), ("mixed-3", "A", "C", "mixed"),
    )  # fmt: skip
    found = measures.worst_groups(images.sample(frac=1, random_state=1))
    assert [row["group"] for row in found] == ["long", "worst", "bad", "mixed"]
    assert found[2] == {
        "group": "bad", "label": "A", "n_images": 4, "accuracy": 0.25, "taken_for": {"B": 3},
        "contents": ["bad-01", "bad-02", "bad-03", "bad-00"],
    }  # fmt: skip
    assert list(found[3]["taken_for"].items()) == [("C", 2), ("B", 1)]
    assert found[0]["contents"] == ["long-00", "long-01", "long-02", "long-03"]


def test_at_most_twelve_groups_are_named_and_none_where_all_is_right() -> None:
    assert len(measures.worst_groups(rows(*(image for i in range(20) for image in group(f"g{i}", "A", i, 1))))) == 12
    assert measures.worst_groups(rows(*group("A/1", "A", 5, 0))) == []
    assert measures.worst_groups(rows()) == []


# Pictures


def again(picture_: bytes, quality: int) -> bytes:
    """The picture saved anew."""
    image = cv2.imdecode(np.frombuffer(picture_, np.uint8), cv2.IMREAD_COLOR)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def plant(landing: Path) -> dict[str, set[str]]:
    """Copies and videos on both sides of the split, in files of the orchard's names; kind → SHA-256 of the test images planted."""
    planted: dict[str, set[str]] = {name: set() for name in ("exact", "saved anew", "shared", "renamed")}

    def put(name: str, data: bytes, kind: str = "") -> None:
        (landing / name).write_bytes(data)
        if kind:
            planted[kind].add(hashlib.sha256(data).hexdigest())

    for i in range(20):
        # A turn of 20 frames in train; ten of them, byte for byte, in test under another name.
        frame = picture("Apple", 5, i, seed=0, frames=20)
        put(f"Training/Apple/r5_{i}_100.jpg", frame)
        if i < 10:
            put(f"Test/Apple/r9_{i}_100.jpg", frame, "exact")
            put(f"Test/Pear/r8_{i}_100.jpg", again((landing / f"Training/Pear/r0_{i}_100.jpg").read_bytes(), 60), "saved anew")
            # One video with frames on both sides, a tenth of a turn apart: no two of them are nearly the same.
            side, kind = ("Test", "shared") if i % 2 else ("Training", "")
            put(f"{side}/Apple/r6_{i}_100.jpg", picture("Apple", 6, i, seed=0, frames=10), kind)
    for i in range(24):
        # Frames three degrees apart, every other one in test and there called another video.
        side, rotation, kind = ("Test", 11, "renamed") if i % 2 else ("Training", 10, "")
        put(f"{side}/Pear/r{rotation}_{i}_100.jpg", picture("Pear", 10, i, seed=0, frames=120), kind)
    return planted


@pytest.mark.heavy
def test_planted_copies_and_videos_are_each_found_and_left_out_of_the_honest_scores(runs: Any) -> None:
    planted = plant(runs.landing)
    ingested = runs.through("planted", "evaluate", robustness_images=6)["ingest"]
    document = runs.work("planted", "evaluate").document("metrics")
    found = document["leakage"]
    assert (found["exact"]["n_test"], found["exact"]["n_removed"], ingested.counts["leaked"]) == (10, 10, 10)
    shown = {copy["test"]: (copy["train"], copy["n_train"]) for copy in found["exact"]["copies"]}
    assert shown.keys() == planted["exact"]
    assert sorted(shown.values()) == sorted(([f"Training/Apple/r5_{i}_100.jpg"], 1) for i in range(10))
    # Drawn before: 30 test images in 3 groups, none of them near to train. Planted: 10 + 10 + 5 + 12 in 4 groups.
    assert document["official"]["n_images"] == 67
    assert (found["exact"]["without"]["n_images"], found["exact"]["without"]["n_groups"]) == (57, 6)
    copies = runs.work("planted", "evaluate").table("near_copies")
    assert set(copies["content"].to_pylist()) == planted["saved anew"] | planted["renamed"]
    assert (found["near"]["n_test"], found["near"]["without"]["n_images"], found["near"]["without"]["n_groups"]) == (22, 45, 5)
    assert {pair["test"] for pair in found["near"]["pairs"]} == planted["saved anew"] | planted["renamed"]
    saved = {hashlib.sha256(file.read_bytes()).hexdigest() for file in (runs.landing / "Training/Pear").glob("r0_*")}
    assert {pair["train"] for pair in found["near"]["pairs"] if pair["test"] in planted["saved anew"]} == saved
    assert found["shared_groups"] == ["Apple/r6"]
    assert found["linked_groups"] == [["Apple/r9", "Apple/r5"], ["Pear/r11", "Pear/r10"], ["Pear/r8", "Pear/r0"]]
    safe = document["group_safe"]
    assert (safe["left_out"], safe["n_images"], safe["n_groups"]) == (["Apple/r6", "Apple/r9", "Pear/r11", "Pear/r8"], 30, 3)
    # The other parts are there and of this run.
    assert sum(row["n_images"] for row in document["calibration"]["bins"]) == 67
    spoiled = document["robustness"]
    assert (spoiled["n_images"], [row["name"] for row in spoiled["rows"]]) == (6, ["none", *CORRUPTIONS])
    wrong = sum(row["n_images"] - round(row["accuracy"] * row["n_images"]) for row in document["worst_groups"])
    assert wrong == round((1 - document["official"]["accuracy"]) * 67)


def test_a_drawn_orchard_is_a_clean_split(spark: Any, orchard: Path) -> None:
    images, files = [], []
    for path in sorted(orchard.rglob("*.jpg")):
        data, name = path.read_bytes(), path.relative_to(orchard).as_posix()
        content = hashlib.sha256(data).hexdigest()
        split = "test" if name.startswith("Test/") else "train"
        image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        images.append((content, split, fingerprint(image)))
        label, video = name.split("/")[1], name.rsplit("/", 1)[1].split("_")[0]
        files.append((name, content, label, split, f"{label}/{video}", None))
    table = pa.Table.from_pylist([dict(zip(("content", "split", "fingerprint"), image, strict=True)) for image in images])
    assert near_copies.found(Tasks.over_table(spark.sparkContext, table, 2), max_distance=3).num_rows == 0
    columns = ["path", "content", "label", "split", "group", "gone_since"]
    table = pa.table({name: pa.array(list(column), pa.string()) for name, column in zip(columns, zip(*files, strict=True), strict=True)})
    found = select(table.append_column("part", table["content"]), labels=())
    assert (found.counts["test"], found.leaked, found.shared_groups, found.linked_groups) == (30, [], [], [])
