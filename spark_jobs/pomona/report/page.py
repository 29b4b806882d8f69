"""The report of a run as one HTML file that asks nothing of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pomona import __version__, scaling
from pomona.knobs import KNOBS
from pomona.report import templates
from pomona.report.charts import contest_bar, reliability_chart, score_chart
from pomona.report.contents import Report, Score

_CELLS_WITH_TEXT = 16
_SHOWN_MISTAKES = 60
_SHOWN_LINES = 100
_SHOWN_CONFUSIONS = 12


class Cell(NamedTuple):
    """One cell of the confusion; `heat` is the share of its row, 0 to 1."""

    n_images: int
    percent: float | None
    heat: float
    right: bool


class Confused(NamedTuple):
    """How often one label is taken for another."""

    label: str
    prediction: str
    n_images: int
    percent: float


def render(report: Report) -> str:
    """The page as HTML text, to be written as UTF-8.

    Whatever comes from file names and labels is escaped by the template engine; the page's own policy forbids scripts and any address
    but `data:` pictures.
    """
    template = templates.environment().get_template("page.html")
    return template.render(
        report=report,
        headline=headline(report),
        evidence=report.evidence,
        all_scores=every_score(report),
        chart=score_chart(every_score(report)),
        reliability=reliability_chart(report.evidence.bins),
        contest=contest_bar(report.evidence.figures),
        shown_scores=[score for score in report.scores if score.accuracy is not None][:2],
        balance=balance(report.counts),
        largest=max((sum(sides.values()) for sides in report.images_per_label.values()), default=0),
        rows=confusion_rows(report.official),
        with_text=len(report.official["classes"]) <= _CELLS_WITH_TEXT if report.official else False,
        confused=most_confused(report.official),
        knobs=knob_rows(report.knobs),
        scaling_headline=scaling.headline([effort.scaling for effort in report.efforts]),
        started_s=sum(effort.start_s or 0 for effort in report.efforts),
        straggler=scaling.STRAGGLER,
        total_s=sum(timing.seconds for timing in report.timings),
        mistakes=report.mistakes[:_SHOWN_MISTAKES],
        shown_lines=_SHOWN_LINES,
        project_version=__version__,
    )


def every_score(report: Report) -> list[Score]:
    """The report's scores, those without copies behind the first, the official one."""
    without = [
        Score(
            f"without {kind} copies: official, less the test images that have one in train",
            found.accuracy,
            found.accuracy_interval,
            found.macro_f1,
            (None, None),
            found.n_images,
            found.n_groups,
            "" if found.n_images else "every test image has one",
        )
        for kind, found in (("exact", report.evidence.exact), ("near", report.evidence.near))
        if found is not None and found.n_test
    ]
    return [*report.scores[:1], *without, *report.scores[1:]]


def headline(report: Report) -> str:
    """The verdict and what became of it, in words."""
    this = "this model" if report.version is None else f"version {report.version}"
    champion = report.standing.champion
    if report.standing.moved:
        return f"Promoted: {this} became the champion"
    if report.standing.promoted:
        return f"Promoted, but replaced since: {this} is not the champion any more"
    began = "Fit for promotion, but not promoted" if report.decision == "promote" else "Kept back"
    if champion is None:
        return f"{began}: there is no champion"
    return f"{began}: version {champion} {'stays' if champion == report.champion else 'is'} the champion"


def balance(counts: Mapping[str, int]) -> str:
    """What does not add up in the counts, in words; empty when everything does."""
    sums = {
        "listed": ("in", "ignored"),
        "in": ("kept", "rejected", "duplicate", "conflict", "unselected", "untold"),
        "kept": ("train", "test"),
    }
    wrong = [
        f"{whole} is {counts[whole]:,}, but {' + '.join(parts)} is {sum(counts[part] for part in parts):,}"
        for whole, parts in sums.items()
        if counts[whole] != sum(counts[part] for part in parts)
    ]
    return "; ".join(wrong)


def confusion_rows(official: Mapping[str, Any] | None) -> list[tuple[str, list[Cell]]]:
    """(label, cells) for each row of the confusion."""
    if official is None:
        return []
    names: Sequence[str] = official["classes"]
    table = zip(names, official["confusion"], official["row_percent"], strict=True)
    return [
        (name, [Cell(n, share, (share or 0) / 100, i == j) for j, (n, share) in enumerate(zip(counts, shares, strict=True))])
        for i, (name, counts, shares) in enumerate(table)
    ]


def most_confused(official: Mapping[str, Any] | None) -> list[Confused]:
    """The commonest confusions, the most images first."""
    names = official["classes"] if official else ()
    pairs = [
        Confused(label, prediction, cell.n_images, cell.percent or 0.0)
        for label, cells in confusion_rows(official)
        for prediction, cell in zip(names, cells, strict=True)
        if cell.n_images and not cell.right
    ]
    return sorted(pairs, key=lambda pair: (-pair.n_images, -pair.percent, pair.label, pair.prediction))[:_SHOWN_CONFUSIONS]


def knob_rows(knobs: Mapping[str, Any]) -> list[tuple[str, Any, str, bool]]:
    """(name, value, help, whether it differs from the default), in the contract's order; names that it does not know come last."""
    known = [(name, knobs[name], KNOBS[name].help, knobs[name] != KNOBS[name].value_in("default")) for name in KNOBS if name in knobs]
    return known + [(name, value, "", False) for name, value in sorted(knobs.items()) if name not in KNOBS]
