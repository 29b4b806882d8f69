"""`make served`, `make rollback`, `make release`: which version is champion or was, an earlier one put back, the end of the hold after it.

Exit code 0: done or answered; 2: something that was given, or is there, does not allow it, and one line says what; 1: a fault.
"""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pomona import reigns
from pomona.command import Place, rollback_arguments
from pomona.outcome import BadInput
from pomona.store_faults import StoreAway
from pomona_airflow.deployment import ON_AWS, BadSetting, Deployment, NotReady, of_others
from pomona_airflow.engines import engine_of
from run.airflow_home import use_airflow

if TYPE_CHECKING:
    from pomona.lake import Lake


def main(words: Sequence[str]) -> int:
    """See the module for the codes."""
    parser = argparse.ArgumentParser(prog="python -m run.champion", description="Which version is champion, and the way back.")
    parser.add_argument("what", choices=("served", "rollback", "release", "submit"))
    parser.add_argument("--at", default="", help="a time, in UTC unless it has an offset; empty: now")
    parser.add_argument("--to", default="", help="version to put back; empty: the champion before this one")
    parser.add_argument("--reason", default="", help="why, in words")
    parser.add_argument("--run", default="", help="run key of what is submitted")
    given = parser.parse_args(words)
    os.environ |= of_others()
    # Nobody waits here for what stays away: MLflow's client would try seven times.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    try:
        deployment = Deployment.from_environment()
        if given.what == "submit":
            return submit(deployment, given)
        if given.what == "rollback":
            code, line = rollback(deployment, given)
        else:
            code, line = 0, (served if given.what == "served" else release)(deployment, given)
    except (BadSetting, BadInput, NotReady, StoreAway) as error:
        code, line = 2, str(error)
    print(line, file=sys.stderr if code else sys.stdout)
    return code


def served(deployment: Deployment, given: argparse.Namespace) -> str:
    """Which version is champion, or was at the time; what nobody has closed or noted in the ledger yet is written down first."""
    from pomona import promotions

    now = datetime.now(UTC)
    try:
        moment = reigns.moment_of(given.at, now=now) if given.at.strip() else None
    except ValueError as error:
        raise BadInput(str(error)) from None
    ledger = promotions.LakeLedger(_lake(deployment))
    documents = _asked(deployment, lambda: promotions.reconcile(deployment.tracking, deployment.name, ledger=ledger, run="make served"))
    return reigns.served(deployment.name, documents, moment)


def release(deployment: Deployment, given: argparse.Namespace) -> str:
    """That automatic promotion goes on, or that it was not held."""
    from pomona import promotions

    lake, run = _lake(deployment), _run("release")
    facts = {"run": run, "reason": given.reason, "by": _person()}
    return str(_asked(deployment, lambda: promotions.release(deployment.tracking, lake, **facts).line))


def rollback(deployment: Deployment, given: argparse.Namespace) -> tuple[int, str]:
    """The exit code and the line of a rollback job, which goes through the deployment's engine as a stage does.

    Raises
    ------
    BadInput, NotReady
        When nothing can be submitted.
    """
    if not given.reason.strip():
        raise BadInput("REASON is missing: say why, like make rollback TO=3 REASON='lemons are taken for limes'")
    if given.to and not given.to.isdigit():
        raise BadInput(f"TO={given.to!r} is no version: give its number, or leave it out for the champion before this one")
    if deployment.engine == "emr" and not deployment.emr.cluster:
        raise NotReady("there is no cluster to submit to: trigger the DAG rollback, which makes its own, or set POMONA_EMR_CLUSTER")
    run, log = _run("rollback"), deployment.state / "rollback.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"{deployment.name}: {f'version {given.to}' if given.to else 'the champion before this one'} is checked first", flush=True)
    with log.open("wb") as out:
        words = ["submit", "--run", run, f"--to={given.to}", f"--reason={given.reason}"]
        command = [sys.executable, "-m", "run.champion", *words]
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False).returncode
    outcome = _lake(deployment).outcome(run, "rollback")
    if outcome is None:
        return code or 1, f"{_last(log)} (all of it: {log})"
    return {"done": 0, "bad_input": 2}.get(str(outcome["status"]), 1), str(outcome["line"])


def submit(deployment: Deployment, given: argparse.Namespace) -> int:
    """The exit code of the job."""
    use_airflow(deployment)
    if deployment.engine in ON_AWS:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        logging.getLogger("botocore").setLevel(logging.WARNING)
    place = Place(given.run, deployment.name, deployment.lake, deployment.landing, deployment.tracking, deployment.s3.text)
    words = rollback_arguments(place, version=int(given.to or 0), reason=given.reason, release=False, started_by=_person())
    return int(engine_of(deployment).run(f"pomona-{deployment.name}-{given.run}", words))


def _asked(deployment: Deployment, ask: Any) -> Any:
    """The answer of MLflow and lake.

    Raises
    ------
    BadInput
        When MLflow does not answer.
    """
    from pomona import tracking

    # It says to MLflow, before that is imported, how much to tell.
    tracking.connect(deployment.tracking)
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except (MlflowException, OSError) as error:
        cause = " ".join(str(error).split())[:200]
        raise BadInput(
            f"MLflow at {deployment.tracking} does not answer ({cause}): start the server there, or set POMONA_TRACKING"
        ) from None


def _lake(deployment: Deployment) -> Lake:
    from pomona.lake import Lake

    return Lake(deployment.lake, deployment.name, deployment.s3)


def _run(what: str) -> str:
    """A run key of its own for each command, as Airflow's runs have."""
    return f"{what}__{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}-{os.getpid()}"


def _person() -> str:
    try:
        return f"person ({getpass.getuser()})"
    except (KeyError, OSError):
        # A container's user may have no name.
        return "person"


def _last(log: Path) -> str:
    lines: list[Any] = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
