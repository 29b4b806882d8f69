"""The images that are most worth a label: those that the champion is unsure of, spread out, and labels that are probably wrong."""

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
# Sener and Savarese choose among all images; here among the most uncertain, so many times as many as are asked for. Of ten batches of
# 50 photographs, 3 taught most about the others like them (10: .950, 5: .955, 3: .958; nothing but uncertainty: .961).
POOL = 3
_SUGGESTIONS = 9
# Squared distances by a matrix product are off by some last bits of the squared norms.
_SAME = 1e-12
_BLOCK = 2048


class Question(NamedTuple):
    """An image to be labelled: why, its label until now (None without one), and labels with their probability, the likeliest first."""

    content: str
    path: str
    why: Literal["unknown", "uncertain", "suspect"]
    label: str | None
    suggestions: tuple[tuple[str, float], ...]


def uncertainty(probabilities: Floats, *, by: Literal["margin", "entropy"] = "margin") -> Floats:
    """How unsure each answer is, (n,) float64 from 0 (certain) to 1 (nothing is told).

    `margin`: 1 less the distance of the two likeliest classes; `entropy`: the share of the greatest possible entropy.

    Parameters
    ----------
    probabilities : (n, n_classes) float64, n_classes at least 2
    """
    if by == "margin":
        second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
        return np.asarray(1 - (first - second))
    # Where p is 0, p log p is.
    logs = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return np.asarray(-(probabilities * logs).sum(axis=1) / np.log(probabilities.shape[1]))


def k_centres(features: Floats, n: int, *, known: Floats | None = None) -> list[int]:
    """At most n rows, each the farthest from those before it and from the known ones (Sener & Savarese, 2018, algorithm 1).

    Without known rows the first one is row 0. What lies on a centre tells nothing new and is left out, so that there may be fewer than n.

    Parameters
    ----------
    features : (n_rows, n_components) float64
    known : (n_known, n_components) float64; None or empty without any
    """
    if not len(features) or n < 1:
        return []
    if known is not None and len(known):
        distances = _nearest(features, known)
        distances[distances <= _SAME * (features**2).sum(axis=1)] = 0
        chosen: list[int] = []
    else:
        distances = ((features - features[0]) ** 2).sum(axis=1)
        chosen = [0]
    while len(chosen) < n:
        farthest = int(distances.argmax())
        if distances[farthest] == 0:
            break
        chosen.append(farthest)
        distances = np.minimum(distances, ((features - features[farthest]) ** 2).sum(axis=1))
    return chosen


def worth_a_label(
    contents: Sequence[str],
    features: Floats,
    probabilities: Floats,
    *,
    n: int,
    unknown: NDArray[np.bool_] | None = None,
    unknown_come: Literal["first", "beside"] = "first",
    by: Literal["margin", "entropy"] = "margin",
    known: Floats | None = None,
) -> list[int]:
    """At most n rows in the order in which to ask: of the 3 n most uncertain, those that lie farthest apart.

    What is marked unknown comes before all others (`first`) or in turn with them (`beside`); it is spread out in the same way. The
    order depends on the set of rows, not on theirs.

    Parameters
    ----------
    contents : (n_rows,) str, distinct
    features : (n_rows, n_components) float64, as the champion projects them
    probabilities : (n_rows, n_classes) float64, the champion's
    unknown : (n_rows,) bool; None: nothing is
    known : (n_known, n_components) float64: what the champion trained on; it is not asked for again
    """
    unsure = uncertainty(probabilities, by=by)
    marked = np.zeros(len(contents), dtype=bool) if unknown is None else unknown
    order = sorted(range(len(contents)), key=lambda row: (-unsure[row], contents[row]))
    strange, usual = (_spread([row for row in order if marked[row] == flag], features, n, known) for flag in (True, False))
    if unknown_come == "first":
        return [*strange, *usual][:n]
    return [row for pair in zip_longest(strange, usual) for row in pair if row is not None][:n]


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


def as_csv(questions: Iterable[Question]) -> bytes:
    """The questions as CSV (UTF-8 with its mark, as spreadsheets want it): with labels filled in, it is what `labels/` takes."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow([*COLUMNS, "why", "label_now", "prediction", "probability"])
    for question in questions:
        prediction, probability = question.suggestions[0] if question.suggestions else ("", None)
        shown = "" if probability is None else f"{probability:.4f}"
        rows.writerow([question.content, question.path, "", "", "", "", question.why, question.label or "", prediction, shown])
    return text.getvalue().encode("utf-8-sig", "backslashreplace")


def _spread(rows: Sequence[int], features: Floats, n: int, known: Floats | None) -> list[int]:
    """n of the rows, which come the most uncertain first."""
    pool = rows[: POOL * n]
    return [pool[place] for place in k_centres(features[pool], n, known=known)] if pool else []


def _nearest(features: Floats, known: Floats) -> Floats:
    """(n_rows,) float64: the squared distance of each row to the nearest known one."""
    norms = (known**2).sum(axis=1)
    blocks = (features[start : start + _BLOCK] for start in range(0, len(features), _BLOCK))
    found = [np.maximum((block**2).sum(axis=1) + (norms - 2 * block @ known.T).min(axis=1), 0) for block in blocks]
    return np.concatenate(found)
