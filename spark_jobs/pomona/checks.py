"""The checks of the gate, one function each; `judgement.py` says what they ask and decides by them. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.classwise import ClassContest
from pomona.paired import Paired, paired
from pomona.scoring import Interval

_NAMED = 5


class Check(NamedTuple):
    """One rule of the gate, whether it is met, and why in one line."""

    check: str
    met: bool
    line: str


@dataclass(frozen=True)
class Rules:
    """The knobs of the gate."""

    margin: float
    max_class_drop: float
    significance: float
    floor: float
    min_test: int
    resamples: int
    seed: int

    @classmethod
    def of(cls, knobs: Mapping[str, Any]) -> Rules:
        return cls(**{name: knobs[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Alone:
    """What is known of the challenger without a champion.

    Attributes
    ----------
    labels, groups, predictions : (n_images,) str, the test images
    safe : (n_images,) bool: those whose group is not in train
    accuracy, macro_f1 : on all of them; None where they are missing
    majority : the commonest label in train
    histogram : (n_images,) str, what a plain colour histogram takes the images for; None where the run has no such baseline
    """

    labels: NDArray[Any]
    groups: NDArray[Any]
    predictions: NDArray[Any]
    safe: NDArray[np.bool_]
    accuracy: float | None
    macro_f1: float | None
    majority: str
    histogram: NDArray[Any] | None

    @property
    def baselines(self) -> dict[str, float | None]:
        """The accuracy of both baselines on all test images; None where it is not known."""
        if not len(self.labels):
            return {"majority": None, "histogram": None}
        colours = None if self.histogram is None else float((self.labels == self.histogram).mean())
        return {"majority": float((self.labels == self.majority).mean()), "histogram": colours}


def scores(alone: Alone) -> Check:
    """Whether accuracy and macro-F1 are there."""
    missing = [
        name for name, value in (("accuracy", alone.accuracy), ("macro-F1", alone.macro_f1)) if value is None or not np.isfinite(value)
    ]
    known = f"accuracy and macro-F1 on {counted(len(alone.labels), 'test image')} are known"
    return Check("scores", not missing, f"not known on the test images: {' and '.join(missing)}" if missing else known)


def floor(alone: Alone, rules: Rules) -> Check:
    """Whether the accuracy on all test images reaches the floor."""
    if alone.accuracy is None or not np.isfinite(alone.accuracy):
        return Check("floor", False, f"whether the floor of {percent(rules.floor)} is reached is not known")
    met = alone.accuracy >= rules.floor
    where = f"accuracy {percent(alone.accuracy)} on all {counted(len(alone.labels), 'test image')}"
    return Check("floor", met, f"{where}, {'not below' if met else 'below'} the floor of {percent(rules.floor)}")


def unrivalled(alone: Alone, rules: Rules) -> dict[str, Any]:
    """The figures of a first model beside both baselines, on images of groups that are not in train where there are `min_test` of them.

    `loss_to_histogram` is how often two equally good models would differ so much to the model's loss, images counted one by one.
    """
    held_out = int(alone.safe.sum()) >= max(rules.min_test, 1)
    chosen = alone.safe if held_out else np.ones(len(alone.labels), dtype=bool)
    labels = alone.labels[chosen]
    right, colours = alone.predictions[chosen] == labels, None if alone.histogram is None else alone.histogram[chosen] == labels
    return {
        "n_images": len(labels),
        "n_groups": len(set(alone.groups[chosen])),
        "held_out": held_out,
        "challenger_accuracy": float(right.mean()),
        "majority_accuracy": float((labels == alone.majority).mean()),
        "majority": alone.majority,
        "histogram_accuracy": None if colours is None else float(colours.mean()),
        "loss_to_histogram": None if colours is None else paired(colours, right, np.arange(len(labels)).astype(str)).loss,
    }


def hurdles(figures: Mapping[str, Any], rules: Rules) -> list[Check]:
    """What a first model has to beat, from the figures of `unrivalled`."""
    which = "none of which is in train" if figures["held_out"] else "all that there are"
    where = f"on {counted(figures['n_images'], 'test image')} in {counted(figures['n_groups'], 'group')}, {which}"
    ours, usual, colours = (figures[f"{name}_accuracy"] for name in ("challenger", "majority", "histogram"))
    line = f"accuracy {percent(ours)} against {percent(usual)} for naming the commonest label ({figures['majority']}) every time, {where}"
    found = [Check("majority class", ours > usual, line)]
    if colours is None:
        return [*found, Check("colour histogram", True, f"{line}; not compared with a colour histogram, for this run has none")]
    line = f"accuracy {percent(ours)} against {percent(colours)} of a plain colour histogram, {where}"
    met = bool(ours > colours)
    if not met and colours >= 1 - rules.margin:
        met = figures["loss_to_histogram"] > rules.significance
        line += f"; hardly more is possible, and the loss {'can be chance' if met else 'is more than chance explains'}"
    return [*found, Check("colour histogram", met, line)]


def common_images(figures: Mapping[str, Any], rules: Rules) -> Check:
    """Whether there are enough images for a comparison; `figures` of the verdict say how many, and how many are left out."""
    n_images, n_trained_on = figures["n_images"], figures["n_trained_on"]
    which = "that neither model trained on and whose label both know"
    left = f" ({n_trained_on:,} left out because the champion trained on them)" if n_trained_on else ""
    if n_images < max(rules.min_test, 1):
        return Check("common images", False, f"only {counted(n_images, 'test image')} {which}{left}, min_test asks for {rules.min_test:,}")
    return Check("common images", True, f"{counted(n_images, 'test image')} in {counted(figures['n_groups'], 'group')} {which}{left}")


def not_inferior(before: NDArray[np.bool_], now: NDArray[np.bool_], test: Paired, spread: Interval, rules: Rules) -> Check:
    """Whether the accuracy is better by more than chance explains, then the check is called so, or else not inferior."""
    gained = int(now.sum()) - int(before.sum())
    # One part in 10¹² for the rounding of the subtraction: a loss of exactly the margin is allowed.
    within = gained / len(now) >= -rules.margin - 1e-12
    better = gained > 0 and test.gain <= rules.significance
    certain = gained < 0 and test.loss <= rules.significance
    if better:
        how = f"better by more than chance explains (p = {test.gain:.2g})"
    elif gained >= 0:
        how = f"a gain that can be chance (p = {test.gain:.2g})" if gained else "no difference"
    else:
        how = f"{'within' if within else 'beyond'} the margin of {100 * rules.margin:g}"
        how += f", {'more than chance explains' if certain else 'and it can be chance'} (p = {test.loss:.2g})"
    interval = spread.why if spread.low is None or spread.high is None else f"95 % interval {points(spread.low)} to {points(spread.high)}"
    line = (
        f"accuracy {percent(float(now.mean()))} against the champion's {percent(float(before.mean()))}: {points(gained / len(now))} points "
        f"({interval}), {how}, on {counted(len(now), 'image')} in {counted(test.n_groups, 'group')}"
    )
    return Check("better" if better else "not inferior", within and not certain, line)


def no_class_falls(rows: Sequence[ClassContest], falls: Sequence[str], rules: Rules) -> Check:
    """Whether every class keeps its recall; `falls` names those that do not."""
    bound = f"max_class_drop allows {100 * rules.max_class_drop:g} points"
    if not falls:
        judged = [row for row in rows if row.champion_recall is not None and row.challenger_recall is not None]
        blunt = sum(row.p is None for row in judged)
        few = f" ({blunt:,} of them have too few groups for the test: only a deep fall would count)" if blunt else ""
        return Check("no class falls", True, f"none of {len(judged):,} classes{few}; {bound}")
    by_label = {row.label: row for row in rows}
    told = [
        f"{label} from {percent(by_label[label].champion_recall)} to {percent(by_label[label].challenger_recall)} "
        f"on {counted(by_label[label].n_images, 'image')} in {counted(by_label[label].n_groups, 'group')}"
        for label in falls
    ]
    return Check("no class falls", False, f"the recall falls of {named(told)}; {bound}")


def new_classes(new: Sequence[str], rows: Sequence[ClassContest], accuracy: float, n_classes: int) -> list[Check]:
    """Whether the classes that the champion does not know are recognised; empty without such. `accuracy` is that on the other classes."""
    if not new:
        return []
    found = {row.label: row.challenger_recall or 0.0 for row in rows}
    weak = [label for label in new if label in found and (found[label] <= 1 / n_classes or found[label] < accuracy / 2)]
    unseen = [label for label in new if label not in found]
    bound = f"asked is more than chance ({percent(1 / n_classes)}) and half of the {percent(accuracy)} on the classes that both models know"
    told = [f"{label} {percent(found[label])}" if label in found else f"{label} not judged, without test images" for label in weak or new]
    line = f"{'too rarely recognised' if weak else 'recognised'}: {named(told)}; {bound}"
    if weak and unseen:
        line += f"; without test images: {named(unseen)}"
    return [Check("new classes", not weak, line)]


def removed_classes(removed: Sequence[str], labels: NDArray[Any]) -> list[Check]:
    """Whether the classes that the challenger does not know any more are gone from test too; empty without such."""
    if not removed:
        return []
    left = {label: int((labels == label).sum()) for label in removed}
    still = [f"{label} ({counted(n, 'test image')})" for label, n in left.items() if n]
    if still:
        line = f"no training images any more, but test images, of {named(still)}: take these away too if the class is to go"
        return [Check("removed classes", False, line)]
    return [Check("removed classes", True, f"no longer known: {named(removed)}; nothing in test carries the label")]


def named(names: Sequence[str]) -> str:
    """The names in a row, at most five of them: `a, b, c, d, e and 3 more`."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def counted(n: int, noun: str) -> str:
    """The number with its noun: `1 group`, `1,200 groups`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def percent(share: float | None) -> str:
    """A share as `94.3 %`; `none` where there is none."""
    return "none" if share is None else f"{100 * share:.1f} %"


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign: `+1.2`, `−0.4`, `0.0`."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")
