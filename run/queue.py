"""`make queue`: the images that are most worth a label, as a page to label on and as a CSV, into the lake.

Exit code 0: written, or there is nothing to ask; 2: something is missing, and one line says what; 1: a fault.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pomona.outcome import BadInput
from pomona.store_faults import StoreAway
from pomona_airflow.deployment import Deployment, of_others
from pomona_airflow.settings.checks import BadSetting
from run import job

if TYPE_CHECKING:
    from pomona.labels.questions import Asked
    from pomona.labels.queue import Question
    from pomona.lake import Lake

_MOST = 2000


def main(words: Sequence[str]) -> int:
    """See the module for the codes."""
    parser = argparse.ArgumentParser(prog="python -m run.queue", description="The images that are most worth a label.")
    parser.add_argument("--images", default="", help="at most so many; empty: 100")
    given = parser.parse_args(words)
    os.environ |= of_others()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("pomona").setLevel(logging.INFO)
    try:
        code, line = 0, queued(Deployment.from_environment(), _number(given.images))
    except (BadSetting, BadInput, StoreAway) as error:
        code, line = 2, str(error)
    print(line, file=sys.stderr if code else sys.stdout)
    return code


def queued(deployment: Deployment, n: int) -> str:
    """Where page and CSV lie, in words, once they are written.

    Raises
    ------
    BadInput
        When there is no champion to ask, or it cannot answer; when MLflow does not answer, or the lake is another release's.
    """
    from pomona import champion, tracking
    from pomona.labels.questions import to_ask
    from pomona.lake import Lake

    name, lake = deployment.name, Lake(deployment.lake, deployment.name, deployment.s3)
    version = job.asked(deployment.tracking, lambda: tracking.champion_version(deployment.tracking, name))
    if version is None:
        raise BadInput(f"{name} has no champion to ask yet: train a first model (make run)")
    lake.open()
    with tempfile.TemporaryDirectory(prefix="pomona-queue-") as scratch:
        try:
            model = tracking.fetch(deployment.tracking, name, version, Path(scratch))
        except ValueError as error:
            raise BadInput(f"version {version} of {name} cannot be asked: {error}") from None
        try:
            asked = to_ask(lake, deployment.place("queue"), model, version=version, n=n)
        except champion.ChampionFailed as error:
            raise BadInput(f"version {version} of {name} cannot be asked: {error}") from None
    questions = _saved(lake, asked)
    if not questions:
        return f"nothing to ask: no label of the last judged run is in doubt, and {deployment.unlabelled or 'unlabelled/'} has no new image"
    kinds = Counter(question.why for question in questions)
    return (
        f"{len(questions):,} images, {kinds['unknown']:,} of them like nothing that version {version} knows "
        f"and {kinds['suspect']:,} for a doubtful label: open {lake.location('queue/queue.html')} "
        f"(or fill in queue.csv beside it) and drop the saved CSV into {deployment.labels or 'the folder that POMONA_LABELS names'}"
    )


def _saved(lake: Lake, asked: Asked) -> list[Question]:
    """The questions that page and CSV in the lake ask; what was forgotten while the champion was asked is none of them."""
    from pomona.care import forgotten
    from pomona.labels.queue import as_csv
    from pomona.lease import ANSWERS, hold
    from pomona.report.labelling import render

    with hold(lake, "queue", record=ANSWERS):
        gone = forgotten.contents(lake)
        questions = [question for question in asked.questions if question.content not in gone]
        if questions:
            lake.put("queue/queue.html", render(lake.name, questions, asked.pictures, asked.classes).encode())
            lake.put("queue/queue.csv", as_csv(questions))
    return questions


def _number(text: str) -> int:
    if text and (not text.isdigit() or not 1 <= int(text) <= _MOST):
        raise BadInput(f"IMAGES={text!r} must be a whole number from 1 to {_MOST:,}")
    return int(text or 100)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
