"""What the report shows, as plain values: whoever renders it brings the figures and the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pomona.cost import Cost
from pomona.report.evidence import Bounds, Evidence, Picture
from pomona.scaling import Scaling
from pomona.standing import Standing


class Mistake(NamedTuple):
    """A test image that the model takes for something else."""

    image: bytes
    path: str
    label: str
    prediction: str
    probability: float


class Score(NamedTuple):
    """One line of the table of scores; None where there is no score, then `note` says why."""

    title: str
    accuracy: float | None
    accuracy_interval: Bounds
    macro_f1: float | None
    macro_f1_interval: Bounds
    n_images: int
    n_groups: int
    note: str = ""


class Timing(NamedTuple):
    """One operation; `records` is None where nothing is counted, `usd` where no cost is known."""

    operation: str
    seconds: float
    records: int | None = None
    usd: float | None = None


class Effort(NamedTuple):
    """What an operation cost beside its seconds, and whether more machines would help it."""

    scaling: Scaling
    records: int | None
    read_bytes: int
    written_bytes: int
    start_s: float | None


class Listing(NamedTuple):
    """Some lines of a longer list: a path and what is to be said about it, and how many there are altogether."""

    rows: Sequence[tuple[str, str]] = ()
    total: int = 0


@dataclass(frozen=True)
class Report:
    """A run, told to people.

    Attributes
    ----------
    version : the registered model's version; None when the run has none
    decision, reason : the verdict
    champion : version it was measured against; None without one
    standing : what became of the version
    warnings : lines for the top of the page, such as a class without training images
    counts : listed, ignored, in, rejected, duplicate, leaked (part of duplicate), conflict, unselected, untold, kept, train, test, groups,
        gone, relabelled, added
    labelled_by : person → labels of theirs that count
    agreements : how far each two of them agree, in words
    images_per_label : label → {"train": n, "test": n}
    samples : label → a few thumbnails
    words : strips of patches, one for each word shown
    vocabulary : facts about it for one line, such as words, inertia, empty words
    official : what `scoring.scores` gives for the test images; None without any
    mistakes, n_mistakes : some misclassified test images, worst first, and how many there are
    notices : heading → lines: rejected, conflicts, leaked, ignored, groups on both sides, …
    hashes : name → hexadecimal
    links : what → where the figures lie, as text
    started_by : what started the run, in words
    evidence : what the scores are worth, and how the model did against the champion
    efforts : one for each operation that told; none in a run of an earlier release
    cost : the estimate on AWS; None on machines of one's own
    """

    name: str
    run: str
    ended: str
    version: int | None
    decision: str
    reason: str
    champion: int | None
    standing: Standing
    counts: Mapping[str, int]
    images_per_label: Mapping[str, Mapping[str, int]]
    scores: Sequence[Score]
    official: Mapping[str, Any] | None
    timings: Sequence[Timing]
    knobs: Mapping[str, Any]
    hashes: Mapping[str, str]
    warnings: Sequence[str] = ()
    samples: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    keypoints: Sequence[Picture] = ()
    labelled_by: Mapping[str, int] = field(default_factory=dict)
    agreements: Sequence[str] = ()
    words: Sequence[Picture] = ()
    vocabulary: Mapping[str, Any] = field(default_factory=dict)
    mistakes: Sequence[Mistake] = ()
    n_mistakes: int = 0
    notices: Mapping[str, Listing] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    started_by: str = ""
    evidence: Evidence = field(default_factory=Evidence)
    efforts: Sequence[Effort] = ()
    cost: Cost | None = None


def samples_per_label(n_labels: int) -> int:
    """How many thumbnails of each label keep the page small: 8 for a few labels, 2 for a hundred."""
    return max(2, min(8, 240 // max(n_labels, 1)))
