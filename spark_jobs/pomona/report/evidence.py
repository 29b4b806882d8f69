"""What the scores are worth, read off the documents `metrics` and `verdict`; what they do not hold is empty here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# 222 pictures of at most 100 pixels: under 3.2 MB of the page even if they were noise, and some 0.7 MB of photographs.
COPIES, GROUPS, GROUP_IMAGES, EXAMPLES = 50, 12, 4, 12

Bounds = tuple[float | None, float | None]


class Picture(NamedTuple):
    """A picture (JPEG or PNG) and what stands under it."""

    image: bytes
    caption: str


class Copies(NamedTuple):
    """Test images with a copy in train, and the score without them; `n_removed` training copies are out of the run."""

    n_test: int
    n_removed: int
    max_distance: int
    accuracy: float | None
    accuracy_interval: Bounds
    macro_f1: float | None
    n_images: int
    n_groups: int


class Same(NamedTuple):
    """A test image whose bytes also stood in train, `n_train` times, under these names among others."""

    test: Picture
    train: Sequence[str]
    n_train: int


class Pair(NamedTuple):
    """A test image and the training image that it is nearly a copy of; `distance` is the number of bits that differ."""

    test: Picture
    train: Picture
    distance: int


class Bin(NamedTuple):
    """The images whose prediction has a probability between `low` and `high`; None where there is no such image."""

    low: float
    high: float
    n_images: int
    confidence: float | None
    accuracy: float | None


class Spoiled(NamedTuple):
    """The accuracy on images spoiled in one way; `name` is `none` for the images as they are."""

    name: str
    strength: str
    accuracy: float
    interval: Bounds


class Ablated(NamedTuple):
    """The cross-validated accuracy without one part of the features, and its difference from that with all."""

    without: str
    accuracy: float | None
    interval: Bounds
    difference: float | None


class Check(NamedTuple):
    """One rule of the gate."""

    name: str
    met: bool
    line: str


class ClassContest(NamedTuple):
    """Both models' recall of one class; None where a model does not know it or it has no image."""

    label: str
    n_images: int
    n_groups: int
    champion: float | None
    challenger: float | None
    p: float | None


class Group(NamedTuple):
    """A group with mistakes: what its images are taken for, the commonest first, and some of them, wrong ones first."""

    name: str
    label: str
    n_images: int
    accuracy: float
    taken_for: Sequence[tuple[str, int]]
    images: Sequence[bytes]


@dataclass(frozen=True)
class Evidence:
    """What stands behind the scores.

    Attributes
    ----------
    exact, near : copies across the split; None where nobody looked
    same, pairs : at most 50 exact and 50 near copies as pictures, these the nearest first
    bins, expected_error, log_loss, brier : whether probabilities can be believed; empty and None where not measured
    unknown : what the rule does that marks pictures which the model does not know, `marked_known`, …; None in runs that had no such rule
    robustness, robustness_images, robustness_groups, robustness_why : the first row is the images as they are; empty with the reason why
    worst : the name of the spoiling that costs most
    ablation : what each part of the features adds
    words : the verdict as a paragraph
    rule : name of the rule that decided
    figures : of the comparison with the champion; without `champion_accuracy` there was none
    baselines : `majority`, `histogram` → accuracy of what any model must beat
    only_challenger, only_champion : images that one of the models alone takes for what they are
    groups : the groups that are recognised worst
    """

    exact: Copies | None = None
    near: Copies | None = None
    same: Sequence[Same] = ()
    pairs: Sequence[Pair] = ()
    bins: Sequence[Bin] = ()
    expected_error: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    unknown: Mapping[str, Any] | None = None
    robustness: Sequence[Spoiled] = ()
    robustness_images: int = 0
    robustness_groups: int = 0
    robustness_why: str = ""
    worst: str = ""
    ablation: Sequence[Ablated] = ()
    words: str = ""
    rule: str = ""
    checks: Sequence[Check] = ()
    figures: Mapping[str, Any] | None = None
    classes: Sequence[ClassContest] = ()
    baselines: Mapping[str, float | None] | None = None
    only_challenger: Sequence[Picture] = ()
    only_champion: Sequence[Picture] = ()
    groups: Sequence[Group] = ()


def contents(metrics: Mapping[str, Any], verdict: Mapping[str, Any]) -> set[str]:
    """The contents whose pictures the evidence shows."""
    leakage, examples = metrics.get("leakage") or {}, verdict.get("examples") or {}
    found = {content for pair in _rows(leakage, "near", "pairs") for content in (pair["test"], pair["train"])}
    found |= {copy["test"] for copy in _rows(leakage, "exact", "copies")}
    found |= {content for group in metrics.get("worst_groups", [])[:GROUPS] for content in group["contents"][:GROUP_IMAGES]}
    return found | {content for side in ("only_challenger", "only_champion") for content in examples.get(side, [])[:EXAMPLES]}


def evidence(metrics: Mapping[str, Any], verdict: Mapping[str, Any], *, picture: Callable[[str], Picture | None]) -> Evidence:
    """The evidence of both documents.

    Parameters
    ----------
    picture : the thumbnail of a content with its path, or None where the run has no such image
    """
    leakage, calibration, robustness = (metrics.get(name) or {} for name in ("leakage", "calibration", "robustness"))
    examples = verdict.get("examples") or {}
    return Evidence(
        exact=_copies(leakage.get("exact")),
        near=_copies(leakage.get("near")),
        same=[Same(test, copy["train"], copy["n_train"]) for copy in _rows(leakage, "exact", "copies") if (test := picture(copy["test"]))],
        pairs=[
            Pair(test, train, pair["distance"])
            for pair in _rows(leakage, "near", "pairs")
            if (test := picture(pair["test"])) and (train := picture(pair["train"]))
        ],
        bins=[Bin(*(row[name] for name in Bin._fields)) for row in calibration.get("bins", [])],
        expected_error=calibration.get("expected_error"),
        log_loss=calibration.get("log_loss"),
        brier=calibration.get("brier"),
        unknown=(metrics.get("validation") or {}).get("unknown"),
        robustness=[Spoiled(row["name"], row["strength"], row["accuracy"], _bounds(row["interval"])) for row in robustness.get("rows", [])],
        robustness_images=robustness.get("n_images", 0),
        robustness_groups=robustness.get("n_groups", 0),
        robustness_why=robustness.get("why", ""),
        worst=robustness.get("worst") or "",
        ablation=[
            Ablated(row["without"], row["accuracy"], _bounds(row["interval"]), row["difference"])
            for row in metrics["validation"].get("ablation") or []
        ],
        words=verdict.get("words", ""),
        rule=verdict.get("rule", ""),
        checks=[Check(row["check"], row["met"], row["line"]) for row in verdict.get("checks", [])],
        figures=verdict.get("figures"),
        classes=[
            ClassContest(row["label"], row["n_images"], row["n_groups"], row["champion_recall"], row["challenger_recall"], row["p"])
            for row in verdict.get("per_class", [])
        ],
        baselines=verdict.get("baselines"),
        only_challenger=_shown(examples.get("only_challenger", []), EXAMPLES, picture),
        only_champion=_shown(examples.get("only_champion", []), EXAMPLES, picture),
        groups=[
            Group(
                row["group"],
                row["label"],
                row["n_images"],
                row["accuracy"],
                sorted(row["taken_for"].items(), key=lambda item: (-item[1], item[0])),
                [shown.image for shown in _shown(row["contents"], GROUP_IMAGES, picture)],
            )
            for row in metrics.get("worst_groups", [])[:GROUPS]
        ],
    )


def _copies(found: Mapping[str, Any] | None) -> Copies | None:
    if not found:
        return None
    without = found["without"]
    return Copies(
        found["n_test"],
        found.get("n_removed", 0),
        found.get("max_distance", 0),
        without["accuracy"],
        _bounds(without["accuracy_interval"]),
        without["macro_f1"],
        without["n_images"],
        without["n_groups"],
    )


def _rows(leakage: Mapping[str, Any], kind: str, name: str) -> Sequence[Mapping[str, Any]]:
    """The copies of a kind that are shown; none where nobody looked, or an older run kept no list."""
    found: Sequence[Mapping[str, Any]] = (leakage.get(kind) or {}).get(name, [])
    return found[:COPIES]


def _shown(found: Sequence[str], most: int, picture: Callable[[str], Picture | None]) -> list[Picture]:
    return [shown for content in found[:most] if (shown := picture(content))]


def _bounds(values: Sequence[float | None]) -> Bounds:
    low, high = values
    return low, high
