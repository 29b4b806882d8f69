"""What to ask people now: doubtful labels of the last judged run, and images under `unlabelled/` that the champion is unsure of.

On this machine, without Spark: the champion answers in a process of its own, and only the most uncertain images are described once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pomona import champion, snapshots
from pomona.command import Place
from pomona.labels import queue
from pomona.labels.annotations import History, files, gather, resolved
from pomona.labels.labelled import BESIDE, placed
from pomona.labels.queue import Floats, Question
from pomona.labels.suspects import Suspect
from pomona.lake import Lake
from pomona.landing import Landing, Listed
from pomona.leakage import is_ignored
from pomona.report.labelling import picture
from pomona.s3 import S3
from pomona.vision.chain import Chain
from pomona.vision.decode import BadImage
from pomona.work import LOG, pictures_of

_BATCH = 50


class Asked(NamedTuple):
    """The questions, with their pictures as JPEG by content, and the labels that there are."""

    questions: list[Question]
    pictures: dict[str, bytes]
    classes: tuple[str, ...]


class Unlabelled(NamedTuple):
    """An image without a label, and the champion's answer: (n_classes,) float64."""

    file: Listed
    content: str
    probabilities: Floats


def to_ask(lake: Lake, place: Place, model: Path, *, n: int) -> Asked:
    """At most n questions, doubtful labels and unlabelled images in turn; what somebody has answered is not asked again.

    Parameters
    ----------
    model : the champion's folder

    Raises
    ------
    ChampionFailed
        When it cannot answer.
    BadInput
        When a folder cannot be read.
    """
    settings = S3.parse(place.s3)
    labels = Landing(place.annotations, settings)
    history = gather(labels, files(labels)) if place.annotations else History()
    present = snapshots.latest(lake).present
    contents = dict(zip(present["path"], present["content"], strict=True))
    folder = Landing(place.unlabelled, settings)
    waiting = [file for file in folder.files() if not is_ignored(file.path)] if place.unlabelled and folder.there() else []
    history = placed(history, contents, [file.path for file in waiting])
    answered = {said.content for said in resolved(history, contents)[0]}
    named = {said.path for said in history.annotations}
    doubted, known = suspected(lake, answered, n=n)
    fresh = [file for file in waiting if not file.fault and f"{BESIDE}{file.path}" not in named]
    unsure = unlabelled(folder, fresh, model, seen=answered | set(present["content"]), n=n)
    asked = queue.merged(doubted, list(unsure), n=n)
    data = {question.content: known.get(question.content) or _read(folder, unsure[question]) for question in asked}
    shown = dict(_pictures(data))
    return Asked([question for question in asked if question.content in shown], shown, champion.classes(model))


def suspected(lake: Lake, answered: set[str], *, n: int) -> tuple[list[Question], Mapping[str, bytes]]:
    """Doubtful labels of the last judged run, and the bytes of their images; none where an earlier release judged it, or nobody."""
    judged = lake.entry("judged", lake.last_number("judged"))
    if judged is None or "suspects" not in lake.manifest(judged["run"], "train")["datasets"]:
        return [], {}
    rows = lake.read_rows(lake.files(judged["run"], "suspects")).to_pylist()
    roster = lake.read_rows(lake.files(judged["run"], "roster"), ["content", "path", "part"])
    paths = dict(zip(roster["content"].to_pylist(), roster["path"].to_pylist(), strict=True))
    questions = queue.suspect_questions((Suspect(**row) for row in rows if row["content"] not in answered), paths, n=n)
    contents = pa.array([question.content for question in questions], pa.string())
    return questions, pictures_of(lake, roster.filter(pc.is_in(roster["content"], contents)))


def unlabelled(folder: Landing, files: Sequence[Listed], model: Path, *, seen: set[str], n: int) -> dict[Question, Listed]:
    """The n of these images that are most worth a label, in the order in which to ask, each with its file."""
    found = list(_answered(folder, files, model, seen))
    if not found:
        return {}
    unsure = queue.uncertainty(np.array([image.probabilities for image in found]))
    order = sorted(range(len(found)), key=lambda row: (-unsure[row], found[row].content))
    pool = [found[row] for row in order[: queue.POOL * n]]
    probabilities = np.array([image.probabilities for image in pool])
    chosen = queue.worth_a_label([image.content for image in pool], _vectors(folder, pool, model), probabilities, n=n)
    names = champion.classes(model)
    return {_question(pool[row], names): pool[row].file for row in chosen}


def _question(image: Unlabelled, names: Sequence[str]) -> Question:
    path = f"unlabelled/{image.file.path}"
    return Question(image.content, path, "uncertain", None, queue.suggestions(names, image.probabilities))


def _answered(folder: Landing, files: Sequence[Listed], model: Path, seen: set[str]) -> Iterator[Unlabelled]:
    """The champion's answer on each image that it can read, once for the same bytes; not on what was seen before."""
    if not files:
        return
    with champion.Answerer(model) as answerer:
        for start in range(0, len(files), _BATCH):
            read = [(file, data) for file in files[start : start + _BATCH] if (data := _read(folder, file))]
            for (file, data), probabilities in zip(read, answerer.answers([data for _, data in read]), strict=True):
                content = hashlib.sha256(data).hexdigest()
                if content not in seen and np.isfinite(probabilities).all():
                    seen.add(content)
                    yield Unlabelled(file, content, probabilities)


def _vectors(folder: Landing, images: Sequence[Unlabelled], model: Path) -> Floats:
    """(n_images, d) float64, for which distances mean something: as the champion projects them, by today's code.

    The champion of an earlier release may have a recipe that this code cannot follow: then the roots of its probabilities.
    """
    try:
        chain = Chain.load(model / champion.card(model)["chain"])
        return np.array([chain.features_of(_read(folder, image.file)) for image in images])
    except (KeyError, TypeError, BadImage) as error:
        LOG.info("the queue is spread out by the champion's answers alone: its recipe is not today's (%s)", error)
        return np.sqrt([image.probabilities for image in images])


def _read(folder: Landing, file: Listed) -> bytes:
    """The file's bytes; none when it changed or vanished meanwhile."""
    try:
        return folder.read(file.path, file.size, file.version)
    except OSError:
        return b""


def _pictures(data: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for content, image in data.items():
        try:
            yield content, picture(image)
        except BadImage as error:
            LOG.info("%s is not asked about: %s", content, error)
