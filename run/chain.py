"""`make run`: the whole chain once, from a folder of pictures to a registered model, and a short table of what came out."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from pomona.command import run_key
from pomona.knobs import BadKnob, resolve
from pomona.stages import STAGES
from pomona_airflow.deployment import PROJECT, Deployment, NotReady, dotenv, of_others
from pomona_airflow.settings.checks import BadSetting
from pomona_airflow.spark import leash
from pomona_airflow.spark.spark_home import home_of, rehearse
from run.airflow_home import BIN, AirflowHome
from run.table import table

DEMO = "orchard"
_JOB = "airflow.task.hooks.pomona_airflow."
_JOB_LINE = re.compile(r"^\d\d:\d\d:\d\d (?!.* of run )")


class Refused(Exception):
    """A command cannot start: one line says why, and the exit code is 2."""


def main(words: Sequence[str]) -> int:
    """0: a model or nothing new; 1: a stage failed; 2: bad pictures or knobs."""
    parser = argparse.ArgumentParser(prog="make run", description="Runs the whole chain once, on this machine.")
    parser.add_argument("--images", default="", help="folder of pictures, one folder a label; else POMONA_LANDING, or what is drawn")
    parser.add_argument("--knobs", default="", help="JSON of knobs")
    given = parser.parse_args(words)
    signal.signal(signal.SIGTERM, interrupt)
    os.environ |= of_others()
    try:
        knobs = checked_knobs(given.knobs)
        deployment = chosen(given.images)
        home = AirflowHome.of(deployment.state / "run" / deployment.name, deployment, logging__json_logs="True")
        with alone(home.folder / "lock", deployment.name):
            prepare(home, deployment, demo=deployment.landing == _drawn(deployment))
            return run(home, deployment, knobs)
    except (Refused, BadSetting, NotReady) as error:
        print(error, file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing is left running on this machine, and what the stages finished is kept", file=sys.stderr)
        return 130


def checked_knobs(text: str) -> dict[str, Any]:
    """The knobs as given, after a look at each.

    Raises
    ------
    Refused
        With the same words as the command line and the form use.
    """
    try:
        knobs = json.loads(text or "{}")
        if not isinstance(knobs, dict):
            raise ValueError
        resolve(knobs)
    except BadKnob as error:
        raise Refused(f"KNOBS: {error}") from None
    except ValueError:
        raise Refused(f"""KNOBS={text} is not a JSON object: write it like KNOBS='{{"n_words": 200}}'""") from None
    return knobs


def chosen(images: str) -> Deployment:
    """The environment's deployment with these pictures, its own landing zone, or what the project draws, under a name of their own."""
    settings = {**dotenv(PROJECT / ".env"), **os.environ}
    if images:
        return Deployment.from_environment({**settings, "POMONA_LANDING": checked_images(images)})
    given = Deployment.from_environment(settings)
    if settings.get("POMONA_LANDING"):
        return given
    name = os.environ.get("POMONA_NAME") or DEMO
    return Deployment.from_environment({**settings, "POMONA_NAME": name, "POMONA_LANDING": _drawn(given)})


def _drawn(deployment: Deployment) -> str:
    """The folder of the pictures that the project draws."""
    return str(deployment.state / "demo" / DEMO)


def checked_images(images: str) -> str:
    """The folder, absolute; a URI as it is.

    Raises
    ------
    Refused
        When it is missing, no folder, not readable or empty.
    """
    if "://" in images:
        return images
    folder = Path(images).expanduser().absolute()
    if not folder.exists():
        raise Refused(f"IMAGES={images}: there is no such folder")
    if not folder.is_dir():
        raise Refused(f"IMAGES={images} is a file: give the folder that holds one folder of pictures for each label")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise Refused(f"IMAGES={images} cannot be read by this user: allow it with chmod -R u+rX")
    if not any(files for _, _, files in os.walk(folder)):
        raise Refused(f"IMAGES={images} is empty: put pictures into {folder}/<label>/")
    return str(folder)


@contextmanager
def alone(path: Path, name: str) -> Iterator[None]:
    """Only one `make run` of a name at a time: the second one says so and waits."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"another make run of {name!r} is at work (process {lock.read().strip() or '?'}): waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def prepare(home: AirflowHome, deployment: Deployment, *, demo: bool) -> None:
    """What the first run needs and later ones find: Airflow's database, Spark's class archive, the drawn pictures."""
    spark = home_of(deployment)
    missing = {
        "Airflow's database": not home.migrated.exists(),
        "Spark's class archive": not spark.archive.exists(),
        "the pictures": demo and not Path(deployment.landing).exists(),
    }
    if any(missing.values()):
        print(f"made once, under {deployment.state}: {', '.join(what for what, is_missing in missing.items() if is_missing)}", flush=True)
    with ThreadPoolExecutor(3) as pool:
        tasks: list[Future[Any]] = [pool.submit(home.migrate), pool.submit(rehearse, spark)]
        if demo:
            tasks.append(pool.submit(_draw, deployment.landing))
        for task in tasks:
            line = task.result()
            if line and "without" in line:
                print(line, flush=True)


def _draw(folder: str) -> None:
    done = subprocess.run([sys.executable, "-m", "demo.orchard", folder], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the pictures could not be drawn into {folder}: {(done.stderr.strip() or 'no output').splitlines()[-1]}")


def run(home: AirflowHome, deployment: Deployment, knobs: Mapping[str, Any]) -> int:
    """Runs the DAG through `airflow dags test`, shows its stages' lines, then the table or the line of the stage that failed."""
    logs = home.folder / "runs"
    logs.mkdir(exist_ok=True)
    log = logs / f"{time.strftime('%Y%m%dT%H%M%S')}.log"
    print(f"{deployment.name}: {deployment.landing} → {deployment.lake.rstrip('/')}/{deployment.name}", flush=True)
    command = [sys.executable, leash.__file__, str(os.getpid()), str(BIN / "airflow"), "dags", "test", "retrain", "-c", json.dumps(knobs)]
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        env=home.environment,
        cwd=home.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        run_id = follow(process, log)
        code = process.wait()
    except KeyboardInterrupt:
        if deployment.engine == "emr" and not deployment.emr.cluster:
            by_hand = "python -m pomona_airflow.emr.cluster --end"
            print(f"the run's cluster ends when it was idle for {deployment.emr.idle_minutes} minutes, or by {by_hand}", file=sys.stderr)
        raise
    finally:
        _end(process)
    key = run_key(run_id) if run_id else ""
    return _close(deployment, key, code, log, time.monotonic() - started)


def follow(process: subprocess.Popen[str], log: Path) -> str:
    """The id of the run, after everything went to the log file and the stages' own lines to the terminal."""
    run_id, width = "", shutil.get_terminal_size((160, 24)).columns
    with log.open("w", encoding="utf-8") as file:
        for line in process.stdout or ():
            file.write(line)
            record = _record(line)
            event = str(record.get("event", ""))
            if event == "creating dag run":
                run_id = str(record["run_id"])
            elif str(record.get("logger", "")).startswith(_JOB) and _JOB_LINE.match(event):
                print(f"  {event}"[:width], flush=True)
    return run_id


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _close(deployment: Deployment, run: str, code: int, log: Path, seconds: float) -> int:
    """Prints how the run ended; its exit code."""
    from pomona.lake import Lake

    lake = Lake(deployment.lake, deployment.name, deployment.s3)
    outcomes = {stage: lake.outcome(run, stage) for stage in STAGES} if run else {}
    first = next(iter(STAGES))
    began = outcomes.get(first)
    if not code and began and began["status"] == "nothing_new":
        print(f"  {began['line']}")
        return 0
    if code:
        bad = next(
            ((stage, outcome) for stage, outcome in outcomes.items() if not outcome or outcome["status"] in ("bad_input", "fault")), None
        )
        line = f"{bad[0]} failed: {bad[1]['line'] if bad[1] else 'it left no outcome'}" if bad else "the run failed"
        print(f"{line}\nthe whole log: {log}", file=sys.stderr)
        return 2 if bad and bad[1] and bad[1]["status"] == "bad_input" else 1
    summary = lake.document(f"runs/{run}/summary.json") or {}
    print(table(summary, {stage: outcome for stage, outcome in outcomes.items() if outcome}, lake.location(f"runs/{run}"), seconds))
    return 0


def _end(process: subprocess.Popen[str]) -> None:
    """Ends everything below the process, whatever session it is in, and waits until it is gone."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    if process.poll() is None:
        process.terminate()
    # A stage's leash sees within half a second that its task has gone, then has its own grace.
    _, alive = psutil.wait_procs(below, timeout=2 * leash.GRACE_S + 2)
    for one in alive:
        one.kill()
    process.wait()


def interrupt(number: int, frame: FrameType | None) -> None:
    """A handler that makes a signal the same as Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
