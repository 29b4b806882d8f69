"""`make check-settings`: what the deployment still lacks, a line for each thing, and last a tiny job through the engine.

Exit code 0: a run can start. 1: a line says `missing`, with the remedy.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pomona.command import arguments
from pomona.outcome import BadInput
from pomona.store_faults import StoreAway
from pomona_airflow.deployment import ON_AWS, Deployment, NotReady, of_others
from pomona_airflow.engines import engine_of
from pomona_airflow.settings.checks import BadSetting
from pomona_airflow.spark import s3_jars
from pomona_airflow.spark.java import java_home
from pomona_airflow.spark.s3a import on_s3
from run import checks_on_aws
from run.airflow_home import use_airflow

if TYPE_CHECKING:
    from pomona.lake import Lake

_DIAL_S = 5.0
# A cluster without a free core lets an application wait for ever.
_PROBE_S = 300.0
# An application that has stopped starts first.
_PROBE_ON_AWS_S = 900.0
Check = Callable[[Deployment], str]


def main() -> int:
    """0 when nothing is missing, else 1."""
    # Nobody waits here for what stays away: MLflow's client would try seven times.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ |= of_others()
    # The hooks' talk about connections that are not there belongs to no list.
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    try:
        deployment = Deployment.from_environment()
    except BadSetting as error:
        return _missing("settings", str(error))
    use_airflow(deployment)
    print(_line("ok", "settings", f"name {deployment.name}, engine {deployment.engine}"), flush=True)
    fit = [_passes(name, check, deployment) for name, check in checks(deployment).items()]
    if not all(fit):
        return _missing("probe", "not submitted: mend the lines above first")
    if deployment.engine == "emr" and not deployment.emr.cluster:
        print(_line("ok", "probe", "not submitted: a cluster for it alone would cost minutes and money, the first run will tell"))
        return 0
    return 0 if _passes("probe", probe, deployment) else 1


def checks(deployment: Deployment) -> dict[str, Check]:
    """What is looked at before the probe, by its name in the list."""
    if deployment.engine not in ON_AWS:
        return {"landing": landing, "lake": lake, "java": java, "jars": jars, "master": master, "mlflow": mlflow}
    on_aws = {"account": checks_on_aws.account, "packages": checks_on_aws.packages, "emr": checks_on_aws.emr}
    return {"landing": landing, "lake": lake, **on_aws, "mlflow": mlflow}


def landing(deployment: Deployment) -> str:
    """What the landing zone is like; BadInput or OSError when it cannot be listed."""
    from pomona.landing import Landing

    found = Landing(deployment.landing, deployment.s3).first()
    return f"{deployment.landing} can be listed{'' if found else ', it is empty'}"


def lake(deployment: Deployment) -> str:
    """That the lake can be written to and that of two writers one wins."""
    from pomona.lake import Lake

    place = Lake(deployment.lake, deployment.name, deployment.s3)
    exclusive = place.creates_exclusively()
    _tidy(place)
    if not exclusive:
        raise NotReady(f"{place.location('')} lets two writers make the same file: set POMONA_LAKE to a store that obeys If-None-Match")
    return f"{place.location('')} can be written, and of two writers one wins"


def java(deployment: Deployment) -> str:
    """Which Java runs Spark."""
    return str(java_home())


def jars(deployment: Deployment) -> str:
    """That Spark has what it needs for S3, if it needs anything."""
    if not on_s3(deployment):
        return "none needed: Spark opens nothing on s3://"
    s3_jars.present(deployment.s3_jars)
    wrong = [jar.file for jar in s3_jars.listed() if not jar.is_in(deployment.s3_jars)]
    if wrong:
        raise NotReady(f"{wrong[0]} in {deployment.s3_jars} is not the one of conf/s3-jars.txt: run make s3-jars")
    return f"{deployment.s3_jars} has all of them"


def master(deployment: Deployment) -> str:
    """That the cluster's master answers, where there is one to dial."""
    if deployment.engine != "spark":
        return f"none needed: engine {deployment.engine}"
    from pomona_airflow.spark.engine_spark import Engine, master_of

    url = master_of(Engine(deployment).connection())
    where = f"the Airflow connection {deployment.spark_connection} leads to {url}"
    if not url.startswith("spark://"):
        return f"{where}, which the probe will ask"
    for address in url.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_DIAL_S).close()
        except OSError as error:
            raise NotReady(f"{where}, where nobody answers ({error}): start the master there, or mend the connection") from None
    return f"{where}, which answers"


def mlflow(deployment: Deployment) -> str:
    """That MLflow's server answers; a database of this machine is the probe's to open."""
    uri = deployment.tracking
    if deployment.engine in ON_AWS:
        checks_on_aws.stop_if_jobs_cannot_use(uri)
    if not uri.startswith(("http://", "https://")):
        return f"{uri}, which the probe will open"
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_DIAL_S).close()
    except OSError as error:
        raise NotReady(f"POMONA_TRACKING={uri} does not answer ({error}): start the server there, or set another") from None
    return f"{uri} answers"


def probe(deployment: Deployment) -> str:
    """What the job found, as it stands in the lake; nothing of it stays there.

    Raises
    ------
    NotReady
        When it failed, left no word or did not end.
    """
    from pomona.lake import Lake

    bound_s = _PROBE_ON_AWS_S if deployment.engine in ON_AWS else _PROBE_S
    place, run = Lake(deployment.lake, deployment.name, deployment.s3), f"probe-{time.time_ns()}"
    log = deployment.state / "probe.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    new, started = place.document("format.json") is None, time.monotonic()
    try:
        with log.open("wb") as out:
            command = [sys.executable, "-m", "run.check_settings", "--submit", run]
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=bound_s, check=False).returncode
        outcome = place.outcome(run, "probe")
    except subprocess.TimeoutExpired:
        if deployment.engine in ON_AWS:
            _cancel(deployment, run)
        raise NotReady(f"it has not ended within {bound_s:.0f} s: has the cluster a free core and {_memory(deployment)}? ({log})") from None
    finally:
        place.remove(place.run_folder(run))
        if new:
            place.remove("format.json")
        _tidy(place)
    if code or outcome is None or outcome["status"] != "done":
        raise NotReady(f"{outcome['line'] if outcome else _last(log)} (all of it: {log})")
    return f"{outcome['line']} ({time.monotonic() - started:.0f} s)"


def _cancel(deployment: Deployment, run: str) -> None:
    """Ends the probe's job, which outlives the process that submitted it."""
    engine = engine_of(deployment)
    for job in engine.jobs(engine.place("", "probe"), _job(deployment, run)):
        if job.live:
            engine.cancel(job)


def _job(deployment: Deployment, run: str) -> str:
    """A name of its own for each probe: EMR Serverless takes a second job run of a name for the first."""
    return f"pomona-{deployment.name}-{run}"


def submit(run: str) -> int:
    """The exit code of the probe job, through the deployment's engine as a stage goes through it."""
    deployment = Deployment.from_environment()
    if deployment.engine in ON_AWS:
        # What the job is called and how it ended is told by the log: nobody else writes into this process's output.
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        logging.getLogger("botocore").setLevel(logging.WARNING)
    return int(engine_of(deployment).run(_job(deployment, run), arguments("probe", deployment.place(run), {})))


def _passes(name: str, check: Check, deployment: Deployment) -> bool:
    try:
        print(_line("ok", name, check(deployment)), flush=True)
    except (NotReady, BadInput, BadSetting, StoreAway, OSError) as error:
        _missing(name, " ".join(str(error).split()))
        return False
    return True


def _missing(name: str, text: str) -> int:
    print(_line("missing", name, text), flush=True)
    return 1


def _line(state: str, name: str, text: str) -> str:
    return f"{state:<8} {name:<9} {text}"


def _tidy(place: Lake) -> None:
    """Takes empty folders away; on S3 there are none."""
    if "://" not in place.root:
        for empty in ("probes", "runs", ""):
            with contextlib.suppress(OSError):
                Path(place.location(empty)).rmdir()


def _memory(deployment: Deployment) -> str:
    return f"{deployment.spark_executor_memory if deployment.engine == 'spark' else deployment.spark_memory} of memory for it"


def _last(log: Path) -> str:
    lines: list[Any] = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


if __name__ == "__main__":
    sys.exit(submit(sys.argv[2]) if sys.argv[1:2] == ["--submit"] else main())
