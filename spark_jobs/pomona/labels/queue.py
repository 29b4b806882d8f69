"""The images that are most worth a label: unlike all that the champion knows, unsure to it, both spread out; probably labelled wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.labels.annotations import COLUMNS
from pomona.labels.suspects import Suspect

Floats = NDArray[np.float64]
# Sener and Savarese choose among all images; here among those worth most, so many times as many as are asked for. Of ten batches of
# 50 photographs, 3 taught most about the others like them (10: .950, 5: .955, 3: .958; nothing but uncertainty: .961).
POOL = 3
_SUGGESTIONS = 9


class Question(NamedTuple):
    """An image to be labelled: why, its label until now (None without one), and labels with their probability, the likeliest first."""

    content: str
    path: str
    why: Literal["unknown", "uncertain", "suspect"]
    label: str | None
    suggestions: tuple[tuple[str, float], ...]


def pool(contents: Sequence[str], worth: Floats, *, n: int) -> list[int]:
    """The 3 n rows among which n are chosen: those that are worth most, these first; the order depends on the set of rows, not on theirs.

    Parameters
    ----------
    contents : (n_rows,) str, distinct
    worth : (n_rows,) float64, higher first
    """
    return sorted(range(len(contents)), key=lambda row: (-worth[row], contents[row]))[: POOL * n]


def k_centres(features: Floats, n: int) -> list[int]:
    """At most n rows, row 0 first, then each the farthest from those before it (Sener & Savarese, 2018, algorithm 1).

    What lies on a centre tells nothing new and is left out, so that there may be fewer than n.

    Parameters
    ----------
    features : (n_rows, n_components) float64; n_rows may be 0
    """
    if not len(features) or n < 1:
        return []
    chosen = [0]
    distances = ((features - features[0]) ** 2).sum(axis=1)
    while len(chosen) < n:
        farthest = int(distances.argmax())
        if distances[farthest] == 0:
            break
        chosen.append(farthest)
        distances = np.minimum(distances, ((features - features[farthest]) ** 2).sum(axis=1))
    return chosen


def suspect_questions(found: Iterable[Suspect], paths: dict[str, str], *, n: int, per_group: int = 5) -> list[Question]:
    """At most n suspected label errors as questions, in their order, and so many of one group: a folder wrongly named is renamed."""
    asked: dict[tuple[str, str], int] = {}
    questions = []
    for suspect in found:
        key = suspect.label, suspect.group
        asked[key] = asked.get(key, 0) + 1
        if asked[key] > per_group:
            continue
        said = ((suspect.prediction, suspect.prediction_probability), (suspect.label, suspect.label_probability))
        questions.append(Question(suspect.content, paths[suspect.content], "suspect", suspect.label, said))
    return questions[:n]


def suggestions(classes: Sequence[str], probabilities: Floats) -> tuple[tuple[str, float], ...]:
    """The nine likeliest labels with their probability, which is as many as there are keys for them."""
    order = np.argsort(-probabilities, kind="stable")[:_SUGGESTIONS]
    return tuple((classes[place], float(probabilities[place])) for place in order)


def merged(*sources: Sequence[Question], n: int) -> list[Question]:
    """At most n questions, the sources' in turn, no content twice."""
    found: dict[str, Question] = {}
    for row in zip_longest(*sources):
        for question in row:
            if question is not None:
                found.setdefault(question.content, question)
    return list(found.values())[:n]


def _plain(cell: str) -> str:
    """The cell so that a spreadsheet takes it for text: whoever names a folder could have a formula worked out there."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def as_csv(questions: Iterable[Question]) -> bytes:
    """The questions as CSV (UTF-8 with its mark, as spreadsheets want it): with labels filled in, it is what `labels/` takes."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow([*COLUMNS, "why", "label_now", "prediction", "probability"])
    for question in questions:
        prediction, probability = question.suggestions[0] if question.suggestions else ("", None)
        shown = "" if probability is None else f"{probability:.4f}"
        told = (question.content, question.path, "", "", "", "", question.why, question.label or "", prediction, shown)
        rows.writerow([_plain(cell) for cell in told])
    return text.getvalue().encode("utf-8-sig", "backslashreplace")
