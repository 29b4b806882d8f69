"""A stage's command line: the arguments that the operator writes and the parser that reads them, from one contract."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pomona.knobs import KNOBS, BadKnob, Knob, KnobValue, resolve
from pomona.s3 import S3
from pomona.stages import JOBS, ROLLBACK, SCORE, TIDY, Stage

# What one job alone is told: fields of an order under their own names.
_OWN = ("started_by", "require_approval", "version", "reason", "release", "keep_runs", "events", "dry")
_SLUG = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Place:
    """Where a stage works: the same texts for every stage of a run."""

    run: str
    name: str
    lake: str
    landing: str
    tracking: str
    s3: str = "{}"
    # Where people's labels and images without one lie: ingest is told both, score the latter, and empty means nowhere.
    annotations: str = ""
    unlabelled: str = ""


@dataclass(frozen=True)
class Drift:
    """How `score` compares new pictures with those of training.

    `window`: pictures in a window at most, 0: it does not. `groups`: from about how many videos, varieties or days the pictures of one
    come. `rate`: share of usual windows that may alarm. `rejects`: declared share of pictures that cannot be read. `mix`: what labels are
    expected, `any` or those of `training`.
    """

    window: int = 200
    groups: int = 10
    rate: float = 0.05
    rejects: float = 0.01
    mix: str = "any"


@dataclass(frozen=True)
class Order:
    """A parsed command line: the stage, where it works, its knobs, its job's name, and what one stage alone is told.

    `resolved` (all knobs) is for ingest, `started_by` for ingest and rollback, `require_approval` for register. For rollback: `version` 0
    is the champion before this one, `release` ends a hold instead. For score: `drift`. For tidy: how many runs stay, the folder of Spark's
    event logs (empty: none), and `dry` for a look only.
    """

    stage: Stage
    place: Place
    knobs: Mapping[str, KnobValue]
    resolved: Mapping[str, KnobValue]
    started_by: str = ""
    job: str = ""
    asked: int = 0
    require_approval: bool = False
    version: int = 0
    reason: str = ""
    release: bool = False
    keep_runs: int = 20
    events: str = ""
    dry: bool = False
    drift: Drift = field(default_factory=Drift)

    @property
    def s3(self) -> S3:
        return S3.parse(self.place.s3)

    @property
    def copy(self) -> str:
        """What this job shares with its copies, and not with one that was asked to end; empty for a job without a name."""
        return self.job and f"{self.job} {self.asked}"


PLACE_HELP = {
    "run": "run key; names the run's folder in the lake",
    "name": "scopes lake, experiment and registered model",
    "lake": "folder or URI that holds the lakes of all names",
    "landing": "folder or URI where the pictures arrive",
    "tracking": "MLflow tracking URI",
    "s3": "JSON of S3's endpoint, region, encryption and kms_key; {} for AWS's own",
}


def run_key(run_id: str) -> str:
    """The run id with what Hadoop paths do not bear (`:`, `+`, blanks) replaced by `-`."""
    return _SLUG.sub("-", run_id).strip("-.") or "run"


def arguments(
    stage: str,
    place: Place,
    knobs: Mapping[str, KnobValue],
    *,
    job: str = "",
    asked: int = 0,
    started_by: str = "",
    require_approval: bool = False,
) -> list[str]:
    """The arguments of `run_stage.py` for one stage.

    `knobs` are all resolved knobs of the run, `started_by` says what started it, `require_approval` whether a promotion needs a
    person's word. `job` names what is done once however often it is
    submitted, `asked` how often the job of that name was asked to end so far; without a name a stage is done anew whatever there is.
    """
    words = _first(stage, place, job, asked)
    for name in JOBS[stage].knobs:
        words += [f"--{name.replace('_', '-')}={_text(knobs[name])}"]
    if stage == "ingest":
        words += ["--resolved", json.dumps(dict(knobs), sort_keys=True), "--started-by", started_by]
        words += ["--annotations", place.annotations, "--unlabelled", place.unlabelled]
    if stage == "register" and require_approval:
        words.append("--require-approval")
    return words


def rollback_arguments(
    place: Place, *, version: int, reason: str, release: bool, started_by: str, job: str = "", asked: int = 0
) -> list[str]:
    """The arguments of `run_stage.py` for a rollback to `version` (0: the champion before this one), or for the release of its hold."""
    words = [*_first(ROLLBACK.name, place, job, asked), f"--version={version}", f"--reason={reason}", f"--started-by={started_by}"]
    return [*words, "--release"] if release else words


def score_arguments(place: Place, *, drift: Drift | None = None, job: str = "", asked: int = 0) -> list[str]:
    """The arguments of `run_stage.py` for asking the champion about the pictures that nobody has labelled."""
    words = [f"--drift-{each.name}={getattr(drift or Drift(), each.name)}" for each in fields(Drift)]
    return [*_first(SCORE.name, place, job, asked), "--unlabelled", place.unlabelled, *words]


def tidy_arguments(place: Place, *, keep_runs: int, events: str, dry: bool, job: str = "", asked: int = 0) -> list[str]:
    """The arguments of `run_stage.py` for tidying the lake, or with `dry` for saying what that would do."""
    words = [*_first(TIDY.name, place, job, asked), f"--keep-runs={keep_runs}", f"--events={events}"]
    return [*words, "--dry"] if dry else words


def _first(stage: str, place: Place, job: str, asked: int) -> list[str]:
    """What every job is told: its stage, its name if it has one, where it works."""
    words = [stage, *(["--job", job, "--asked", str(asked)] if job else [])]
    for name in PLACE_HELP:
        words += [f"--{name}", getattr(place, name)]
    return words


def parser() -> argparse.ArgumentParser:
    """A parser with one subcommand a stage and one flag a knob; a flag left out takes its preset's value."""
    top = argparse.ArgumentParser(prog="run_stage.py", description="Runs one stage of Pomona as a Spark application.")
    commands = top.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for stage in JOBS.values():
        command = commands.add_parser(stage.name, help=stage.help, description=f"{stage.name} {stage.help}.")
        for name, text in PLACE_HELP.items():
            command.add_argument(f"--{name}", required=True, type=_settings if name == "s3" else str, help=text)
        command.add_argument("--job", default="", help="name of the job: it is done once, and a note in the lake ends it")
        command.add_argument("--asked", type=int, default=0, help="how often the job of this name was asked to end before this one began")
        for knob in (KNOBS["preset"], *(KNOBS[name] for name in stage.knobs)):
            command.add_argument(
                f"--{knob.name.replace('_', '-')}", type=_reader(knob), help=f"{knob.help} ({knob.bounds})".replace("%", "%%")
            )
        if stage.name == "ingest":
            command.add_argument("--resolved", type=_knobs, help="JSON of all knobs of the run; says whether anything is new")
            command.add_argument("--annotations", default="", help="folder or URI of the CSVs with people's labels; empty: none")
            command.add_argument("--unlabelled", default="", help="folder or URI of images that are taken in once they are labelled")
        if stage.name in ("ingest", ROLLBACK.name):
            command.add_argument("--started-by", default="", help="what started the run, in words: kept with it")
        if stage.name == "register":
            command.add_argument("--require-approval", action="store_true", help="promotes only what a person has approved")
        if stage is ROLLBACK:
            command.add_argument("--version", type=_version, default=0, help="version to put back; 0: the champion before this one")
            command.add_argument("--reason", default="", help="why, in words: kept in the ledger of promotions")
            command.add_argument("--release", action="store_true", help="no rollback: lets automatic promotion go on")
        if stage is SCORE:
            command.add_argument("--unlabelled", required=True, help="folder or URI of the pictures that nobody has labelled")
            _add_drift(command)
        if stage is TIDY:
            command.add_argument(
                "--keep-runs", type=_keep_runs, default=20, help="how many of the last runs stay, besides those of versions"
            )
            command.add_argument("--events", default="", help="folder or URI of Spark's event logs; empty: none are kept")
            command.add_argument("--dry", action="store_true", help="changes nothing, only says what would go")
    return top


def _add_drift(command: argparse.ArgumentParser) -> None:
    usual = Drift()
    command.add_argument("--drift-window", type=_whole(0), default=usual.window, help="pictures in a window at most; 0: no look for drift")
    command.add_argument("--drift-groups", type=_whole(1), default=usual.groups, help="groups that the pictures of a window come from")
    command.add_argument("--drift-rate", type=_share, default=usual.rate, help="share of usual windows that may alarm")
    command.add_argument("--drift-rejects", type=_share, default=usual.rejects, help="declared share of pictures that cannot be read")
    command.add_argument("--drift-mix", choices=("any", "training"), default=usual.mix, help="labels that are expected")


def parse(words: Sequence[str]) -> Order:
    """The order that the words give.

    Raises
    ------
    SystemExit
        With code 2 and one line on standard error, as argparse does, for a bad parameter.
    """
    read = vars(parser().parse_args(words))
    stage = JOBS[read["stage"]]
    place = Place(**{name: read[name] for name in (*PLACE_HELP, "annotations", "unlabelled") if name in read})
    given = {name: read[name] for name in ("preset", *stage.knobs)}
    knobs = resolve(given)
    of_stage = {name: knobs[name] for name in stage.knobs}
    whole = read.get("resolved") or knobs
    own = {name: read[name] for name in _OWN if name in read}
    if stage is SCORE:
        own["drift"] = Drift(**{each.name: read[f"drift_{each.name}"] for each in fields(Drift)})
    return Order(stage, place, of_stage, whole, job=read["job"], asked=read["asked"], **own)


def _text(value: KnobValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reader(knob: Knob) -> Any:
    def read(text: str) -> KnobValue:
        try:
            return knob.parse(text)
        except BadKnob as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _version(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no version: give its number, or 0 for the champion before this one")
    return int(text)


def _keep_runs(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} runs cannot be kept: give a whole number from 1")
    return int(text)


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from {least}")
        return int(text)

    return read


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a share above 0 and below 1, like 0.05")
    return share


def _settings(text: str) -> str:
    try:
        return S3.parse(text).text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _knobs(text: str) -> dict[str, KnobValue]:
    try:
        return resolve(json.loads(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
