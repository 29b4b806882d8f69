"""What commands share that no task of the chain does: a job of their own through the deployment's engine, MLflow asked, who gives them."""

from __future__ import annotations

import getpass
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pomona.lake import Lake
from pomona.outcome import BadInput
from pomona_airflow.deployment import ON_AWS, Deployment, NotReady, of_others
from pomona_airflow.engines import engine_of
from pomona_airflow.settings.checks import BadSetting
from run.airflow_home import use_airflow

_Answer = TypeVar("_Answer")
# What a job of this machine takes to end, or a service on AWS to be asked to.
_END_S = 20.0


def run_of(what: str) -> str:
    """A run key of its own for each command, as Airflow's runs have."""
    return f"{what}__{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}-{os.getpid()}"


def person() -> str:
    """Who gives the command, in the words of ledgers and records."""
    try:
        return f"person ({getpass.getuser()})"
    except (KeyError, OSError):
        # A container's user may have no name.
        return "person"


def asked(tracking: str, ask: Callable[[], _Answer]) -> _Answer:
    """The answer of MLflow and lake.

    Raises
    ------
    BadInput
        When MLflow does not answer.
    """
    from pomona.tracking import connect

    # It says to MLflow, before that is imported, how much to tell.
    connect(tracking)
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except (MlflowException, OSError) as error:
        cause = " ".join(str(error).split())[:200]
        raise BadInput(f"MLflow at {tracking} does not answer ({cause}): start the server there, or set POMONA_TRACKING") from None


def ended(deployment: Deployment, job: str, words: Sequence[str], *, first: str) -> tuple[int, str]:
    """The exit code and the line of the job that these words of `run_stage.py` order, once it has ended; its log lies in the state folder.

    `first` is said while it works.

    Raises
    ------
    NotReady
        When there is nothing to submit it to.
    SystemExit
        With 130, after Ctrl-C, once the job has ended or, on AWS, was asked to.
    """
    if deployment.engine == "emr" and not deployment.emr.cluster:
        raise NotReady(f"there is no cluster to submit to: trigger the DAG {job}, which makes its own, or set POMONA_EMR_CLUSTER")
    print(first, flush=True)
    run, log = words[words.index("--run") + 1], deployment.state / f"{job}.log"
    name = f"pomona-{deployment.name}-{run}"
    if deployment.engine in ON_AWS:
        # By its name it can be asked to end: a driver on YARN outlives the step that submitted it.
        words = [words[0], "--job", name, "--asked", "0", *words[1:]]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        command = [sys.executable, "-m", "run.job", name, *words]
        code = _waited(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out), log)
    outcome = Lake(deployment.lake, deployment.name, deployment.s3).outcome(run, job)
    if outcome is None:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return code or 1, f"{lines[-1].strip() if lines else 'it said nothing'} (all of it: {log})"
    return {"done": 0, "nothing_new": 0, "bad_input": 2}.get(str(outcome["status"]), 1), str(outcome["line"])


def _waited(process: subprocess.Popen[bytes], log: Path) -> int:
    """The exit code of the process, which hears Ctrl-C too and ends its job before itself."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(_END_S)
            print("stopped; its job ends too", file=sys.stderr)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            print(f"stopped; whether its job ends too stands in {log}", file=sys.stderr)
        raise SystemExit(130) from None


def main(words: Sequence[str]) -> int:
    """The exit code of the job, in a process of its own: what Airflow and Spark say goes to its log."""
    os.environ |= of_others()
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    try:
        deployment = Deployment.from_environment()
        use_airflow(deployment)
        if deployment.engine in ON_AWS:
            logging.basicConfig(level=logging.INFO, format="%(message)s")
            logging.getLogger("botocore").setLevel(logging.WARNING)
        return int(engine_of(deployment).run(words[0], list(words[1:])))
    except (BadSetting, NotReady) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
