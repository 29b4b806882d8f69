"""What new pictures looked like, as numbered documents `health/000001.json`: one for each run of `score`, and how they are said in words.

Beside each stands the file of what still waits for a window. Of two writers one takes the next number and the other reads again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pomona.lake import Lake

RECORD = "health"
# The rows that wait for a window, which a document names as its `waiting`.
ROWS = f"{RECORD}/rows"

_BACK = 3
MEANS = {
    "none": "nothing has changed",
    "inputs": "the pictures themselves have changed",
    "mix": "the labels come in other shares than in training",
    "rejects": "too many pictures cannot be read",
}

Document = dict[str, Any]


def latest(lake: Lake) -> Document | None:
    """The newest document, or None."""
    return lake.entry(RECORD, lake.last_number(RECORD))


def of_run(lake: Lake, run: str) -> Document | None:
    """The run's own document if it is among the newest, for another run may have written one meanwhile; else None."""
    last = lake.last_number(RECORD)
    documents = (lake.entry(RECORD, number) for number in range(last, max(0, last - _BACK), -1))
    return next((document for document in documents if document is not None and document["run"] == run), None)


def numbered(lake: Lake, number: int | None) -> Document | None:
    """The document of this number, or None."""
    return None if number is None else lake.entry(RECORD, number)


def began(document: Mapping[str, Any]) -> list[Document]:
    """The windows that began an episode of drift."""
    return [window for window in document["windows"] if window["began"]]


def line(document: Mapping[str, Any]) -> str:
    """What is to be said of drift in a few words; empty when there is nothing to say."""
    if document["why"]:
        return f"not watched for drift: {document['why']}"
    n_waiting = document["n_waiting"]
    waiting = [f"{n_waiting:,} {'waits' if n_waiting == 1 else 'wait'} for a window"] if n_waiting else []
    return "; ".join([*_state(document), *waiting])


def words(document: Mapping[str, Any]) -> str:
    """The verdict and the symptoms of the windows that began an episode, in one line; empty when none did."""
    return "; ".join(_window_words(window) for window in began(document))


def first_symptom(document: Mapping[str, Any]) -> str:
    """The strongest symptom of the first window that began an episode."""
    return str(next(symptom for window in began(document) for symptom in window["symptoms"]))


def _state(document: Mapping[str, Any]) -> Iterator[str]:
    windows = document["windows"]
    phase = document["watch"]["phase"]
    if began(document):
        yield f"drift began: {first_symptom(document)}"
        if phase != "drift":
            yield "it has ended since"
    elif windows and phase == "drift":
        yield "drift goes on"
    elif any(window.get("ended") for window in windows):
        yield "drift has ended"
    elif n_alarms := sum(window["score"] >= 1 for window in windows):
        symptom = next(symptom for window in windows if window["score"] >= 1 for symptom in window["symptoms"])
        so_far = "soon after drift" if phase == "pause" else "no drift yet"
        yield f"{n_alarms:,} of {len(windows):,} windows {'alarms' if n_alarms == 1 else 'alarm'}, {so_far}: {symptom}"
    elif windows:
        yield "looks as in training"


def _window_words(window: Mapping[str, Any]) -> str:
    rejects = f", {window['n_rejects']:,} more that cannot be read" if window["n_rejects"] else ""
    return (
        f"drift began with {window['n_images']:,} pictures{rejects}, {window['score']:.1f} times as far from training as is usual: "
        f"{MEANS[window['kind']]} ({'; '.join(window['symptoms'])})"
    )
