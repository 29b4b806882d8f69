"""The page on which a person labels: one HTML file with its pictures, that saves what `labels/` takes and asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from pomona.labels.annotations import COLUMNS
from pomona.labels.queue import Question
from pomona.report import formats, templates
from pomona.report.pictures import thumbnail
from pomona.vision.decode import decode

_SIDE_PX = 640
_KEYS = 9


def picture(data: bytes) -> bytes:
    """The file as JPEG for the page: upright, its longest side at most 640 pixels.

    Raises
    ------
    BadImage
        When the bytes are no usable picture.
    """
    return thumbnail(decode(data, side_px=_SIDE_PX), _SIDE_PX)


def render(name: str, questions: Sequence[Question], pictures: Mapping[str, bytes], classes: Iterable[str]) -> str:
    """The page as HTML text, to be written as UTF-8.

    Its policy lets the one script run that it came with, by its SHA-256, and no request leave the page. What file names and labels hold
    reaches the script as JSON and the page as text.

    Parameters
    ----------
    name : of the model, for the title
    pictures : the JPEG of each question, by content
    classes : the labels that there are
    """
    script, known = templates.source("labelling_script.html"), sorted(set(classes))
    data = {
        "queue": _identity(name, questions),
        "columns": COLUMNS,
        "classes": known,
        "questions": [_shown(question, pictures[question.content], known) for question in questions],
    }
    template = templates.environment().get_template("labelling.html")
    return template.render(
        name=name,
        n_questions=len(questions),
        data=data,
        # The engine would escape it; nothing from outside is in it.
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def _shown(question: Question, jpeg: bytes, classes: Sequence[str]) -> dict[str, Any]:
    """The question for the script; where keys are left, further classes get them, without a probability."""
    suggested = question.suggestions[:_KEYS]
    taken = {label for label, _ in suggested}
    more = [(label, None) for label in classes if label not in taken]
    return {
        "content": question.content,
        "path": question.path,
        "why": question.why,
        "label": question.label,
        "suggestions": [*suggested, *more[: _KEYS - len(suggested)]],
        "picture": formats.data_address(jpeg),
    }


def _identity(name: str, questions: Iterable[Question]) -> str:
    """What the browser keeps this queue's answers under."""
    return hashlib.sha256("\n".join([name, *(question.content for question in questions)]).encode("utf-8", "replace")).hexdigest()[:16]
