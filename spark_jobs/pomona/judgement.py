"""The verdict on a challenger: promote or keep, decided by checks that all have to be met. NumPy only.

*Scores.* Accuracy and macro-F1 on the test images are known; a missing one keeps the champion.

*Floor.* The accuracy on all test images is at least `floor`.

*The first model* has no champion to beat and must be right more often, on the test images of groups that train does not have (on all
of them where those are fewer than `min_test`), than

- naming the commonest training label every time, and
- a plain colour histogram. Where that is right on all images, or all but less than the `margin`, no model can show that it is better:
  then the model may be as good, which means that its loss can be chance, images counted one by one.

*Against a champion* only test images count that neither model trained on and whose label both know, and at least `min_test` of them.

- *Better*: right on more of them, and by more than chance explains (the paired test of `paired.py`, one-sided, at `significance`).
- *Not inferior*: its accuracy is not more than `margin` below the champion's, and a loss can be chance by the same test. The margin does
  not excuse a loss that is certain, or run by run a champion would be worn down by it.
- *No class falls*: see `classwise.py`.
- *New classes*, which the champion does not know, are recognised more often than by chance (1 / number of classes) and at least half
  as often as the classes that both know. One without test images is named and not judged.
- *Removed classes*, which the challenger does not know any more, are named. Test images that still carry such a label keep the champion,
  for then nobody has decided that the class goes: its training images are missing.

The 95 % interval of the difference, groups resampled, is printed beside the decision and does not take part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pomona import checks
from pomona.checks import Alone, Check, Rules
from pomona.classwise import ClassContest, contested
from pomona.paired import Paired, paired
from pomona.scoring import Interval, difference_interval, members_of

EXAMPLES = 12


@dataclass(frozen=True)
class Answers:
    """Both models' answers to the test images that neither trained on, row by row the same image.

    Attributes
    ----------
    contents, labels, groups, champion, challenger : (n_images,) str; an image that the champion could not read has an answer of ""
    champion_knows, challenger_knows : the labels of each model
    n_trained_on : test images that are left out because the champion trained on them
    """

    contents: NDArray[Any]
    labels: NDArray[Any]
    groups: NDArray[Any]
    champion: NDArray[Any]
    challenger: NDArray[Any]
    champion_knows: Sequence[str]
    challenger_knows: Sequence[str]
    n_trained_on: int = 0


@dataclass(frozen=True)
class Verdict:
    """What to do with the challenger, why in one line, by which rule, and all that it rests on.

    `accuracy` is the challenger's on all test images; a champion of None says that there is none yet.
    """

    decision: Literal["promote", "keep"]
    reason: str
    champion: int | None
    rule: str
    accuracy: float | None
    checks: Sequence[Check]
    figures: Mapping[str, Any]
    per_class: Sequence[ClassContest] = ()
    baselines: Mapping[str, float | None] = field(default_factory=dict)
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        told = [check._asdict() for check in self.checks]
        return {**asdict(self), "checks": told, "per_class": [row._asdict() for row in self.per_class]}


@dataclass(frozen=True)
class _Contest:
    """What both models' answers show on the images that count: `rows` and `falls` by class, the rest over all of them."""

    figures: Mapping[str, Any]
    checks: Sequence[Check]
    decisive: Check | None = None
    rows: Sequence[ClassContest] = ()
    examples: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"only_challenger": [], "only_champion": []})


def judged(alone: Alone, rules: Rules, *, champion: int | None, trouble: str = "", answers: Answers | None = None) -> Verdict:
    """The verdict on a challenger.

    Parameters
    ----------
    champion : its version; None when the name has none yet
    trouble : why the champion cannot be asked ("its files are missing"); empty when it answered
    answers : what it answered; None without a champion, or with trouble
    """
    contest = _Contest({"n_images": len(alone.labels), "n_groups": len(set(alone.groups)), **asdict(rules)}, [])
    rule, reason = "first model", ""
    if not len(alone.labels):
        found = [Check("test images", False, "there are no test images: nothing is known about this model")]
    elif champion is None:
        contest = _Contest({**contest.figures, **checks.unrivalled(alone, rules)}, [])
        found = [checks.scores(alone), checks.floor(alone, rules), *checks.hurdles(contest.figures, rules)]
        reason = f"the first model: {found[-1].line}"
    elif answers is None:
        silent = Check("champion answers", False, f"champion version {champion} cannot be asked: {trouble or 'no reason given'}")
        found = [silent, checks.scores(alone), checks.floor(alone, rules)]
    else:
        contest = _contest(alone, answers, rules, contest.figures)
        found = [checks.scores(alone), checks.floor(alone, rules), *contest.checks]
        rule, reason = (contest.decisive.check, contest.decisive.line) if contest.decisive else ("", "")
    unmet = next((check for check in found if not check.met), None)
    decision: Literal["promote", "keep"] = "keep" if unmet else "promote"
    rule, reason = (unmet.check, unmet.line) if unmet else (rule, reason)
    return Verdict(
        decision, reason, champion, rule, alone.accuracy, found, contest.figures, contest.rows, alone.baselines, contest.examples
    )


def _contest(alone: Alone, answers: Answers, rules: Rules, figures: Mapping[str, Any]) -> _Contest:
    """The comparison on the images whose label both models know, or the check that says that they are too few."""
    knows, knew = set(answers.challenger_knows), set(answers.champion_knows)
    new, removed = sorted(knows - knew), sorted(knew - knows)
    common = np.fromiter((label in knows and label in knew for label in answers.labels), dtype=bool, count=len(answers.labels))
    old, now = answers.champion == answers.labels, answers.challenger == answers.labels
    groups = answers.groups[common]
    figures = {
        **figures,
        "n_images": int(common.sum()),
        "n_groups": len(set(groups)),
        "n_trained_on": answers.n_trained_on,
        "n_other_labels": int((~common).sum()),
        "new_classes": new,
        "removed_classes": removed,
    }
    enough = checks.common_images(figures, rules)
    if not enough.met:
        return _Contest(figures, [enough])
    test = paired(old[common], now[common], groups)
    spread = difference_interval(old[common], now[common], *members_of(groups), resamples=rules.resamples, seed=rules.seed)
    rows, falls = contested(
        answers.labels,
        answers.groups,
        old,
        now,
        champion_knows=knew,
        challenger_knows=knows,
        max_class_drop=rules.max_class_drop,
        significance=rules.significance,
    )
    decisive = checks.not_inferior(old[common], now[common], test, spread, rules)
    found = [
        enough,
        decisive,
        checks.no_class_falls(rows, falls, rules),
        *checks.new_classes(new, rows, float(now[common].mean()), len(knows)),
        *checks.removed_classes(removed, alone.labels),
    ]
    sides = {"only_challenger": common & now & ~old, "only_champion": common & old & ~now}
    examples = {side: _examples(answers.contents[chosen], answers.groups[chosen]) for side, chosen in sides.items()}
    compared = {**figures, **_compared(old[common], now[common], test, spread), "fallen_classes": falls}
    return _Contest(compared, found, decisive, rows, examples)


def _compared(old: NDArray[np.bool_], now: NDArray[np.bool_], test: Paired, spread: Interval) -> dict[str, Any]:
    """The figures of the comparison, from which of the images that count each model has right."""
    wins, losses = int((now & ~old).sum()), int((old & ~now).sum())
    return {
        "champion_accuracy": float(old.mean()),
        "challenger_accuracy": float(now.mean()),
        "difference": (wins - losses) / len(now),
        "low": spread.low,
        "high": spread.high,
        "only_challenger_right": wins,
        "only_champion_right": losses,
        "test": test.test,
        "n_groups_differing": test.n_differing,
        "p_loss_one_sided": test.loss,
        "p_gain_one_sided": test.gain,
        "p_two_sided": test.two_sided,
    }


def _examples(contents: NDArray[Any], groups: NDArray[Any]) -> list[str]:
    """At most 12 of the contents, as many of each group as of the others where it has them; their order does not matter."""
    rank: dict[str, int] = {}
    ranked = []
    for content, group in sorted(zip(contents.tolist(), groups.tolist(), strict=True)):
        rank[group] = rank.get(group, -1) + 1
        ranked.append((rank[group], content))
    return [content for _, content in sorted(ranked)[:EXAMPLES]]
