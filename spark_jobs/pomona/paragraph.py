"""The verdict as a paragraph for somebody who decides over the product and knows nothing of statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pomona.checks import counted, named
from pomona.judgement import Verdict

_GROUPS = "groups of pictures that belong together, such as the frames of one video"


def paragraph(verdict: Verdict) -> str:
    """What was compared on how many pictures, what came out, and what follows from it, in whole sentences."""
    figures = verdict.figures
    if not figures["n_images"] and verdict.rule == "test images":
        return "There are no test pictures, so nothing is known about the new model. It should not be used."
    if verdict.champion is None:
        facts = _first(verdict)
    elif "champion_accuracy" in figures:
        facts = [*_compared(verdict), _simple(verdict)]
    else:
        facts = [_alone(verdict), _simple(verdict)]
    return " ".join(part for part in (*facts, _decision(verdict)) if part)


def _compared(verdict: Verdict) -> list[str]:
    figures = verdict.figures
    new, old = figures["challenger_accuracy"], figures["champion_accuracy"]
    said = [
        f"The new model is right on {_of_100(new)} of 100 pictures, the one in use (version {verdict.champion}) on {_of_100(old)}.",
        f"This was counted on {_test_pictures(figures)}; neither model has learnt from any of them.",
        f"The new model alone is right on {figures['only_challenger_right']:,} of them, the one in use alone on "
        f"{figures['only_champion_right']:,}.",
    ]
    if figures["new_classes"]:
        said.append(f"The new model also knows {named(figures['new_classes'])}, which the one in use does not.")
    if figures["removed_classes"]:
        said.append(f"It no longer knows {named(figures['removed_classes'])}.")
    return said


def _first(verdict: Verdict) -> list[str]:
    figures = verdict.figures
    colours = figures["histogram_accuracy"]
    simple = f"naming the commonest kind every time is right on {_of_100(figures['majority_accuracy'])}"
    if colours is not None:
        simple += f", going by nothing but colours on {_of_100(colours)}"
    which = "; from these groups it has learnt nothing" if figures["held_out"] else ""
    return [
        f"No model is in use yet. The new model is right on {_of_100(figures['challenger_accuracy'])} of 100 pictures; {simple}.",
        f"This was counted on {_test_pictures(figures)}{which}.",
    ]


def _alone(verdict: Verdict) -> str:
    return "" if verdict.accuracy is None else f"The new model is right on {_of_100(verdict.accuracy)} of 100 test pictures."


def _simple(verdict: Verdict) -> str:
    """What the two simplest ways to answer achieve."""
    usual, colours = verdict.baselines["majority"], verdict.baselines["histogram"]
    if usual is None:
        return ""
    told = f"For comparison: naming the commonest kind every time is right on {_of_100(usual)} of 100 test pictures"
    return f"{told}." if colours is None else f"{told}, going by nothing but colours on {_of_100(colours)}."


def _decision(verdict: Verdict) -> str:
    if verdict.decision == "promote":
        return f"The new model should be used, because {_for(verdict)}."
    stays = "The new model should not be used" if verdict.champion is None else "The model in use should stay"
    return f"{stays}, because {_against(verdict)}."


def _for(verdict: Verdict) -> str:
    figures = verdict.figures
    if verdict.rule == "first model":
        colours = figures["histogram_accuracy"]
        if colours is not None and figures["challenger_accuracy"] <= colours:
            return (
                "it beats naming the commonest kind, and what colours have ahead of it can be chance. "
                "These test pictures are so easy to tell apart by their colours that they cannot show more"
            )
        return "it does better than the simplest ways to answer"
    if verdict.rule == "better":
        return "it does better, and by more than chance explains"
    gained = figures["difference"]
    if gained >= 0:
        return "it makes fewer mistakes, though so few fewer can be chance" if gained else "it makes no more mistakes"
    return f"it does only a little worse, which can be chance: up to {_of_100(figures['margin'])} of 100 pictures may be lost"


def _against(verdict: Verdict) -> str:
    figures, rule = verdict.figures, verdict.rule
    if rule == "not inferior":
        loss, margin = -figures["difference"], figures["margin"]
        if loss > margin:
            return f"the new one loses {_of_100(loss)} of 100 pictures and no more than {_of_100(margin)} are allowed"
        return "the new one is a little worse, and that is more than chance explains"
    if rule == "no class falls":
        rows = {row.label: row for row in verdict.per_class}
        told = [
            f"{label} ({_of_100(rows[label].champion_recall)} of 100 pictures before, {_of_100(rows[label].challenger_recall)} now)"
            for label in figures["fallen_classes"]
        ]
        return f"the new one recognises some kinds much worse than before: {named(told)}"
    return _AGAINST[rule].format(**figures, reason=verdict.reason)


_AGAINST = {
    "scores": "its score is missing: {reason}",
    "floor": "the new one is right less often than is asked of any model: {reason}",
    "champion answers": "the two could not be compared: {reason}",
    "common images": "there are too few pictures to compare the two on: {n_images:,}, where {min_test:,} are asked for",
    "new classes": "it does not recognise well enough what it newly learnt: {reason}",
    "removed classes": "pictures of a kind are missing that it should have learnt: {reason}",
    "majority class": "it does no better than naming the commonest kind every time",
    "colour histogram": "it does no better than going by nothing but colours",
}


def _test_pictures(figures: Mapping[str, Any]) -> str:
    n_groups = figures["n_groups"]
    return f"{counted(figures['n_images'], 'test picture')} in {f'{n_groups:,} {_GROUPS}' if n_groups > 1 else 'one group'}"


def _of_100(share: float | None) -> str:
    """`94`, or `94.3` where the tenth is not zero."""
    return "none" if share is None else f"{100 * share:.1f}".removesuffix(".0")
