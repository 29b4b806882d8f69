"""What to ask people now: images under `unlabelled/` that teach the champion most, and doubtful labels of the last judged run.

On this machine, without Spark: the champion answers in a process of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pomona import champion, scored, snapshots
from pomona.care import forgotten
from pomona.command import Place
from pomona.labels import queue, unlabelled
from pomona.labels.annotations import History, files, gather, resolved
from pomona.labels.labelled import BESIDE, placed
from pomona.labels.queue import Question
from pomona.labels.suspects import Suspect
from pomona.lake import Lake
from pomona.landing import Landing, Listed
from pomona.reading import Row
from pomona.report.labelling import picture
from pomona.s3 import S3
from pomona.vision.decode import BadImage
from pomona.work import LOG, pictures_of

_BATCH = 32


class Asked(NamedTuple):
    """The questions, with their pictures as JPEG by content, and the labels that there are."""

    questions: list[Question]
    pictures: dict[str, bytes]
    classes: tuple[str, ...]


def to_ask(lake: Lake, place: Place, model: Path, *, version: int, n: int) -> Asked:
    """At most n questions: unknown images, doubtful labels and uncertain images in turn, so that each kind has a third while it lasts.

    A new class hides among the unknown, so they come first in each turn. What somebody has answered, or what was forgotten, is not asked.

    Parameters
    ----------
    model : the folder of the champion, which is this version

    Raises
    ------
    ChampionFailed
        When it cannot answer.
    BadInput
        When a folder cannot be read.
    """
    folder = Landing(place.unlabelled, S3.parse(place.s3))
    present = snapshots.latest(lake).present
    fresh, answered = _unanswered(place, folder, dict(zip(present["path"], present["content"], strict=True)))
    doubted = suspected(lake, answered, n=n)
    skip = answered | set(present["content"]) | forgotten.contents(lake)
    told = unlabelled.told(lake, folder, fresh, model, version=version, skip=skip)
    worth = unlabelled.most_worth(folder, told, model, n=n)
    asked = queue.merged(_questions("unknown", worth), doubted, _questions("uncertain", worth), n=n)
    wanted = {question.content for question in asked}
    pictures = dict(_of_lake(lake, wanted)) if doubted else {}
    classes = champion.classes(model)
    suggested: dict[str, tuple[tuple[str, float], ...]] = {}
    images = [image for kind in worth.values() for image in kind if image["content"] in wanted]
    for image, data, answer in unlabelled.answers(folder, images, model):
        suggested[image["content"]] = queue.suggestions(classes, np.array(answer["probabilities"]))
        pictures |= _shown(image["content"], data)
    asked = [question._replace(suggestions=suggested.get(question.content, question.suggestions)) for question in asked]
    return Asked([question for question in asked if question.content in pictures], pictures, classes)


def suspected(lake: Lake, answered: set[str], *, n: int) -> list[Question]:
    """Doubtful labels of the last judged run; none where no run has doubted labels."""
    judged = lake.entry("judged", lake.last_number("judged"))
    if judged is None or "suspects" not in lake.manifest(judged["run"], "train")["datasets"]:
        return []
    rows = lake.read_rows(lake.files(judged["run"], "suspects")).to_pylist()
    roster = lake.read_rows(lake.files(judged["run"], "roster"), ["content", "path"])
    paths = dict(zip(roster["content"].to_pylist(), roster["path"].to_pylist(), strict=True))
    return queue.suspect_questions((Suspect(**row) for row in rows if row["content"] not in answered), paths, n=n)


def _unanswered(place: Place, folder: Landing, contents: Mapping[str, str]) -> tuple[list[Listed], set[str]]:
    """The files of the folder of which nobody has said anything by their path alone, and all contents of which somebody has.

    Where a content was named with the path it alone counts: another picture may bear the name by now.

    Parameters
    ----------
    contents : path → content, of the landing zone
    """
    labels = Landing(place.annotations, folder.s3)
    history = gather(labels, files(labels)) if place.annotations else History()
    waiting = scored.listed(folder) if place.unlabelled else []
    history = placed(history, contents, {file.path for file in waiting})
    named = {said.path for said in history.annotations if not said.content}
    fresh = [file for file in waiting if not file.fault and f"{BESIDE}{file.path}" not in named]
    return fresh, {said.content for said in resolved(history, contents)[0]}


def _questions(why: Literal["unknown", "uncertain"], worth: Mapping[str, Sequence[Row]]) -> list[Question]:
    """Without suggestions: the record has no more than the likeliest label."""
    return [Question(image["content"], f"unlabelled/{image['path']}", why, None, ()) for image in worth[why]]


def _of_lake(lake: Lake, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Those of these contents that the last judged run has, as JPEG, by content; some are read at a time, for a photograph takes megabytes.

    Which parts hold them is read now: while the champion was asked they may have been packed together, or an image forgotten.
    """
    judged = lake.entry("judged", lake.last_number("judged")) or {}
    roster = lake.read_rows(lake.files(judged["run"], "roster"), ["content", "part"])
    ordered = roster.filter(pc.is_in(roster["content"], pa.array(sorted(wanted), pa.string()))).sort_by("part")
    for start in range(0, len(ordered), _BATCH):
        for content, data in pictures_of(lake, ordered.slice(start, _BATCH)).items():
            yield from _shown(content, data).items()


def _shown(content: str, data: bytes) -> dict[str, bytes]:
    try:
        return {content: picture(data)}
    except BadImage as error:
        LOG.info("%s is not asked about: %s", content, error)
        return {}
