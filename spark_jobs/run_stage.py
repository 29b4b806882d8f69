"""Runs one stage of Pomona as a Spark application: the only entry point, on a laptop as on a cluster.

    spark-submit run_stage.py STAGE --run KEY --name NAME --lake URI --landing URI --tracking URI [--knob=value …]

Exit code 0: done, nothing new or refused; 2: bad parameters or input; 1: a fault. What became of the stage stands in
the lake, in runs/<run>/outcomes/<stage>.json.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

# spark-submit runs this file by its path, so the package beside it is found here or, on a cluster, in its zip.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from pomona import command
from pomona.lake import Lake, now
from pomona.lease import hold
from pomona.outcome import EXIT_CODES, BadInput, Result, Status
from pomona.store_faults import StoreAway, told_elsewhere
from pomona.work import LOG, Work, code_hash


def main(words: Sequence[str]) -> int:
    """The exit code of the stage that the words order."""
    order = command.parse(words)
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING, force=True)
    LOG.setLevel(logging.INFO)
    stage, run = order.stage.name, order.place.run
    LOG.info("%s of run %s: %s", stage, run, ", ".join(f"{name}={value}" for name, value in order.knobs.items()) or "no knobs")
    lake = Lake(order.place.lake, order.place.name, order.s3)
    started = now()
    work = Work(order, lake)

    def report(status: Status, line: str, counts: object = None) -> int:
        seconds = round(work.seconds, 3)
        outcome = {
            "stage": stage,
            "run": run,
            "status": status,
            "line": line,
            "counts": counts or {},
            "seconds": seconds,
            "started": started,
            "ended": now(),
        }
        code = EXIT_CODES[status]
        try:
            lake.put_outcome(run, stage, outcome)
        except (BadInput, StoreAway, OSError):
            # The line below says what went wrong; that the lake cannot be told either is no news. A success must be told.
            if code == 0:
                raise
        LOG.log(logging.INFO if code == 0 else logging.ERROR, "%s: %s (%.1f s)", stage, line, seconds)
        return code

    try:
        lake.open()
        with hold(lake, f"{stage} of run {run}") if order.stage.holds_lake else contextlib.nullcontext():
            result = done(work)
        return report(result.status, result.line, dict(result.counts))
    except BadInput as error:
        return report("bad_input", str(error))
    except StoreAway as error:
        return report("fault", str(error))
    except BaseException as error:
        fault = told_elsewhere(_text(error), order.place.lake, lambda: lake.document("format.json"))
        if fault:
            return report("bad_input", str(fault))
        report("fault", _cause(error))
        raise


def done(work: Work) -> Result:
    """Does the stage anew: takes its old manifest away, runs its job, and writes the manifest last."""
    stage, run = work.order.stage, work.run
    inputs = work.lake.digests(run, stage.reads)
    work.lake.forget_manifest(run, stage.name)
    result: Result = importlib.import_module(f"pomona.jobs.{stage.name}").run(work)
    work.lake.write_manifest(
        run,
        stage.name,
        result.files,
        inputs=inputs,
        knobs=dict(work.knobs),
        counts=dict(result.counts),
        notes=dict(result.notes),
        code=code_hash(),
    )
    return result


def _text(error: BaseException) -> str:
    """All that an error of Spark's tells, of the JVM and of the workers too; empty for any other."""
    return f"{error}\n{getattr(error, '_stackTrace', '')}" if type(error).__module__.split(".")[0] in ("pyspark", "py4j") else ""


def _cause(error: BaseException) -> str:
    """The error in one line; of one from a Python worker the line that it ended with, behind its traceback; of the JVM's what Java said."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [""]
    if type(error).__name__ == "Py4JJavaError" and len(lines) > 1:
        return lines[1].removeprefix(": ").strip()
    return lines[-1].strip() if type(error).__name__ == "PythonException" else f"{type(error).__name__}: {lines[0]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
