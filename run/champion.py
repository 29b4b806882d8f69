"""`make served`, `make rollback`, `make release`: which version is champion or was, an earlier one put back, the end of the hold after it.

Exit code 0: done or answered; 2: something that was given, or is there, does not allow it, and one line says what; 1: a fault.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pomona import reigns
from pomona.command import rollback_arguments
from pomona.outcome import BadInput
from pomona.stages import ROLLBACK
from pomona.store_faults import StoreAway
from pomona_airflow.deployment import Deployment, NotReady, of_others
from pomona_airflow.settings.checks import BadSetting
from run import job

if TYPE_CHECKING:
    from pomona.lake import Lake


def main(words: Sequence[str]) -> int:
    """See the module for the codes."""
    parser = argparse.ArgumentParser(prog="python -m run.champion", description="Which version is champion, and the way back.")
    parser.add_argument("what", choices=("served", "rollback", "release"))
    parser.add_argument("--at", default="", help="a time, in UTC unless it has an offset; empty: now")
    parser.add_argument("--to", default="", help="version to put back; empty: the champion before this one")
    parser.add_argument("--reason", default="", help="why, in words")
    given = parser.parse_args(words)
    os.environ |= of_others()
    # Nobody waits here for what stays away: MLflow's client would try seven times.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    try:
        deployment = Deployment.from_environment()
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
    documents = job.asked(
        deployment.tracking, lambda: promotions.reconcile(deployment.tracking, deployment.name, ledger=ledger, run="make served")
    )
    return reigns.served(deployment.name, documents, moment)


def release(deployment: Deployment, given: argparse.Namespace) -> str:
    """That automatic promotion goes on, or that it was not held."""
    from pomona import promotions

    lake = _lake(deployment)
    facts = {"run": job.run_of("release"), "reason": given.reason, "by": job.person()}
    return str(job.asked(deployment.tracking, lambda: promotions.release(deployment.tracking, lake, **facts).line))


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
    place = deployment.place(job.run_of(ROLLBACK.name))
    words = rollback_arguments(place, version=int(given.to or 0), reason=given.reason, release=False, started_by=job.person())
    target = f"version {given.to}" if given.to else "the champion before this one"
    return job.ended(deployment, ROLLBACK.name, words, first=f"{deployment.name}: {target} is checked first")


def _lake(deployment: Deployment) -> Lake:
    from pomona.lake import Lake

    return Lake(deployment.lake, deployment.name, deployment.s3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
