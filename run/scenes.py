"""The six scenes of `make demo`. Each says what is going to happen and why, lets it happen, and shows what the system said of it.

A scene that does not happen as it was told ends the demo: `Failed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pomona import reigns
from pomona.command import run_key
from run.life import PERSON, Life, Run, answered, deliver
from run.screen import Failed
from run.table import with_interval

# Of what lies under unlabelled/, so many are worth a person's time.
_ASKED = 72
_REASON = "the new kind is to be looked at first"


def first_model(life: Life) -> None:
    """Pictures of five kinds arrive, and the first model comes of it by itself."""
    kinds = life.truth["known"]
    life.screen.why(
        f"{life.pictures('first')} pictures of {len(kinds)} kinds of fruit land in the landing zone: {', '.join(kinds)}. "
        "Nobody triggers anything: the DAG retrain is switched on, and watches the folder.",
    )
    deliver(life.drawn / "first", Path(life.deployment.landing))
    life.airflow.switch_on("retrain")
    _promoted(life, life.run_of("retrain", 1), version=1)


def more_images(life: Life) -> None:
    """More fruit of the same kinds arrive: a model that has seen more is judged against the first one."""
    life.screen.why(
        f"{life.pictures('more')} pictures of other fruit of the same kinds. A run starts once they have come to rest, "
        "and its model has to stand up to the champion on test pictures that neither has learnt from.",
    )
    deliver(life.drawn / "more", Path(life.deployment.landing))
    _promoted(life, life.run_of("retrain", 2), version=2)


def new_kind(life: Life) -> None:
    """Pictures without a label come, some of a kind that the model does not know, and it says so."""
    sixth, n_found = life.truth["sixth"], life.pictures("found")
    n_sixth = sum(life.pictures(f"found/{tray}") for tray, kind in life.truth["trays"].items() if kind == sixth)
    life.screen.why(
        f"{n_found} pictures without a label are put into unlabelled/. {n_sixth} of them show a sixth kind, {sixth}, "
        "which the model has never seen. Does it notice? The DAG score asks the champion about each picture.",
    )
    deliver(life.drawn / "found", Path(life.deployment.unlabelled))
    life.airflow.switch_on("score")
    life.airflow.trigger("score")
    run = life.run_of("score", 1, PERSON)
    rows = _told(life, run)
    strange, known = ([row["unknown"] == "true" for row in rows if (_kind(life, row) == sixth) is side] for side in (True, False))
    marked = f"{sum(strange)} of the {len(strange)} pictures of the sixth kind, and {sum(known)} of the {len(known)} others"
    life.screen.row("unknown", f"{marked}, are marked as like nothing that the model knows")
    if sum(strange) * 2 < len(strange) or sum(known) * 4 > len(known):
        raise Failed(f"the sixth kind was not told from the others: see {life.csv_of(run)}")


def labels(life: Life) -> None:
    """What is most worth a label is asked about, and answered."""
    life.screen.why(
        "The pictures that are most worth a label are chosen, and put on a page to label on by keyboard. Here the demo is the person: "
        "it answers with what was drawn, in the CSV that the page saves.",
    )
    life.make(f"queue IMAGES={_ASKED}", "run.queue", f"--images={_ASKED}")
    text, given = _answers(life)
    (life.drawn / "labels.csv").write_text(text, newline="")
    sixth = life.truth["sixth"]
    life.screen.row("answers", f"{len(given)} labels by annotator demo, {given.count(sixth)} of them {sixth}, which no model knows yet")
    if sixth not in given:
        raise Failed(f"no picture of the sixth kind was asked about: see {life.lake.location('queue/queue.csv')}")


def sixth_learnt(life: Life) -> None:
    """The labels return and start a run; its model knows six kinds, which pictures of a fruit never seen before must show."""
    sixth = life.truth["sixth"]
    life.screen.why(
        f"The CSV goes into labels/, which starts a run as pictures do. With it come {life.pictures('named')} test pictures of one more "
        f"{sixth}, by which the new class is judged, and {life.pictures('later')} without a label of yet another one, which the new "
        "champion will be asked about.",
    )
    deliver(life.drawn / "later", Path(life.deployment.unlabelled))
    deliver(life.drawn / "named", Path(life.deployment.landing))
    Path(life.deployment.labels).mkdir(exist_ok=True)
    (life.drawn / "labels.csv").replace(Path(life.deployment.labels) / f"labels-demo-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv")
    run = life.run_of("retrain", 3)
    counts = _promoted(life, run, version=3)["counts"]
    life.screen.row("labels", f"{counts['added']} pictures of unlabelled/ were learnt from; {counts['labels']} kinds are known")
    life.screen.row("new class", life.check(run, "new classes"))
    run = life.run_of("score", 1)
    last = max(life.truth["trays"], key=lambda tray: int(tray.rpartition("-")[2]))
    fresh = [row for row in _told(life, run) if _tray(row) == last]
    named, unknown = (sum(row[column] == value for row in fresh) for column, value in (("label", sixth), ("unknown", "true")))
    life.screen.row(
        "named", f"{named} of the {len(fresh)} pictures of the {sixth} that nobody labelled are called {sixth}, {unknown} unknown"
    )
    if named * 2 <= len(fresh) or unknown * 2 > len(fresh):
        raise Failed(f"the sixth kind is not recognised: see {life.csv_of(run)}")


def way_back(life: Life) -> None:
    """The version before is put back, the history says so, and promotion is released."""
    life.screen.why(
        "Somebody has doubts about the new version. The one before is checked and put back, and nothing is promoted until that is "
        "released. The history says which version answered at any time.",
    )
    life.make("served", "run.champion", "served")
    life.make(f"rollback REASON='{_REASON}'", "run.champion", "rollback", f"--reason={_REASON}")
    changes = reigns.changes(life.lake.entries("promotions"))
    if [change.version for change in changes] != [1, 2, 3, 2]:
        raise Failed(f"the champions were {[change.version for change in changes]}, not 1, 2, 3 and 2 again: see make served")
    between = changes[2].latest + (changes[3].latest - changes[2].latest) / 2
    at = f"{between.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    life.make("served", "run.champion", "served")
    life.make(f"served AT='{at}'", "run.champion", "served", f"--at={at}")
    life.make("release REASON='it is right'", "run.champion", "release", "--reason=it is right")


SCENES: Mapping[str, Callable[[Life], None]] = {
    "A first model": first_model,
    "More images arrive": more_images,
    "A kind that nobody named": new_kind,
    "People are asked": labels,
    "The sixth kind is learnt": sixth_learnt,
    "The way back": way_back,
}


def _promoted(life: Life, run: Run, *, version: int) -> dict[str, Any]:
    """The summary of a run of `retrain`, once what it came to is shown.

    Raises
    ------
    Failed
        When it made no model, or one that did not become champion.
    """
    document = life.summary(run)
    model, verdict = document["model"], document["verdict"]
    life.screen.row("started", f"by {document['started_by']}")
    life.screen.row("accuracy", with_interval(document["scores"]["official"], "accuracy"))
    life.screen.row("verdict", f"{verdict['decision']}: {verdict['reason']}")
    life.screen.row("model", f"version {model['version']} of {model['name']}. {model['outcome']}")
    report = life.lake.location(f"runs/{document['run']}/{document['files']['report']}")
    if (model["version"], model["champion"]) != (version, True):
        raise Failed(f"version {model['version']} did not become the champion: see {report}")
    return document


def _told(life: Life, run: Run) -> list[dict[str, str]]:
    """The rows of a run of `score`, once its line is shown, and what began if it began an episode of drift."""
    from pomona.monitoring import record

    key = run_key(run["dag_run_id"])
    life.screen.row("score", (life.lake.outcome(key, "score") or {})["line"])
    document = record.of_run(life.lake, key)
    if document and (words := record.words(document)):
        life.screen.row("drift", words)
    return life.scored(run)


def _tray(row: Mapping[str, str]) -> str:
    return row["path"].split("/")[0]


def _kind(life: Life, row: Mapping[str, str]) -> str:
    """What a picture under `unlabelled/` shows."""
    return str(life.truth["trays"][_tray(row)])


def _answers(life: Life) -> tuple[str, list[str]]:
    """The CSV of the answers to the queue, and the labels in it."""
    from pomona.labels.annotations import COLUMNS

    def kind_of(path: str) -> str:
        # ../unlabelled/tray/picture, or Training/kind/picture
        side, folder = path.removeprefix("../").split("/")[:2]
        return str(life.truth["trays"][folder]) if side == "unlabelled" else folder

    queue = life.lake.get("queue/queue.csv").decode("utf-8-sig")
    return answered(queue, kind_of, columns=COLUMNS, at=datetime.now(UTC).isoformat(timespec="seconds"))
