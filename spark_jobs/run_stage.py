"""Runs one stage of Pomona as a Spark application: the only entry point, on a laptop as on a cluster.

    spark-submit run_stage.py STAGE --run KEY --name NAME --lake URI --landing URI --tracking URI [--knob=value …]

Exit code 0: done, nothing new or refused; 2: bad parameters or input; 1: a fault. What became of the stage stands in
the lake, in runs/<run>/outcomes/<stage>.json.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# BLAS rounds by its number of threads, and two that wait for each other on a busy machine take three times the processor time of one.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
# Arrow's own pool keeps what was freed: drivers were larger by 30 to 65 MB with it, and no faster.
os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
# spark-submit runs this file by its path, so the package beside it is found here or, on a cluster, in its zip.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from pomona import command
from pomona.errand import in_touch, settled
from pomona.lake import Lake, now
from pomona.lease import CopyAtWork, hold
from pomona.outcome import EXIT_CODES, BadInput, Result, Status
from pomona.releases import misread, stop_if_outdated
from pomona.store_faults import StoreAway, told_elsewhere
from pomona.work import LOG, Work, code_hash

_M_MMAP_THRESHOLD = -3  # <malloc.h>


def main(words: Sequence[str]) -> int:
    """The exit code of the stage that the words order."""
    order = command.parse(words)
    _return_large_blocks()
    logging.basicConfig(stream=sys.stdout, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING, force=True)
    LOG.setLevel(logging.INFO)
    stage, run = order.stage.name, order.place.run
    lake = Lake(order.place.lake, order.place.name, order.s3)
    with in_touch(lake, run, order.job, order.asked) if order.job else contextlib.nullcontext():
        LOG.info("%s of run %s: %s", stage, run, ", ".join(f"{name}={value}" for name, value in order.knobs.items()) or "no knobs")
        return reported(Work(order, lake))


def reported(work: Work) -> int:
    """The exit code of the stage's job, once what became of it stands in the lake."""
    lake, order, started = work.lake, work.order, now()
    try:
        lake.open()
        with hold(lake, f"{order.stage.name} of run {work.run}", order.copy) if order.stage.holds_lake else contextlib.nullcontext():
            left = settled(lake, work.run, order.stage.name, order.job) if order.job else None
            if left and left["status"] != "bad_input":
                LOG.info("%s: this job is done already: %s", order.stage.name, left["line"])
                return 0
            result = done(work)
        return _report(work, started, result.status, result.line, result.counts, work.effort(result.counts))
    except CopyAtWork as other:
        LOG.info("%s: %s, so this copy ends", order.stage.name, other)
        return 0
    except BadInput as error:
        return _report(work, started, "bad_input", str(error))
    except StoreAway as error:
        return _report(work, started, "fault", str(error))
    except BaseException as error:
        fault = told_elsewhere(_text(error), order.place.lake, lambda: lake.document("format.json"))
        if fault:
            return _report(work, started, "bad_input", str(fault))
        _report(work, started, "fault", _cause(error))
        raise


def _return_large_blocks() -> None:
    """Lets glibc take each large block from the system and give it back; other C libraries have no such setting.

    Left alone it soon cuts them from its heap, where holes stay: of 100,000 pictures the driver of ingest was larger by 50 MB.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 256 << 10)


def _report(
    work: Work,
    started: str,
    status: Status,
    line: str,
    counts: Mapping[str, int | float] | None = None,
    effort: Mapping[str, Any] | None = None,
) -> int:
    """The exit code of the status, once the outcome stands in the lake."""
    stage, seconds, code = work.order.stage.name, round(work.seconds, 3), EXIT_CODES[status]
    outcome = {"stage": stage, "run": work.run, "job": work.order.job, "status": status, "line": line}
    told = {"counts": dict(counts or {}), "effort": effort, "seconds": seconds, "started": started, "ended": now()}
    try:
        work.lake.put_outcome(work.run, stage, {**outcome, **told})
    except (BadInput, StoreAway, OSError):
        # The line below says what went wrong; that the lake cannot be told either is no news. A success must be told.
        if code == 0:
            raise
    LOG.log(logging.INFO if code == 0 else logging.ERROR, "%s: %s (%.1f s)", stage, line, seconds)
    return code


def done(work: Work) -> Result:
    """Does the stage anew: takes its old manifest away, runs its job, and writes the manifest last.

    Raises
    ------
    BadInput
        When another release wrote what the stage reads, in another form; or what its job raises.
    """
    stage, run = work.order.stage, work.run
    stop_if_outdated(work.lake, run, stage.reads)
    inputs = work.lake.digests(run, stage.reads)
    work.lake.forget_manifest(run, stage.name)
    if stage.has_tasks:
        work.warm()
    with work.held:
        try:
            result: Result = importlib.import_module(f"pomona.jobs.{stage.name}").run(work)
        except KeyError as missing:
            if fault := misread(work.lake, run, stage.reads, code_hash(), missing):
                raise fault from missing
            raise
        work.lake.write_manifest(
            run,
            stage.name,
            result.files,
            inputs=inputs,
            knobs=dict(work.knobs),
            counts=dict(result.counts),
            notes=dict(result.notes),
            code=code_hash(),
            job=work.order.job,
        )
    return result


def _text(error: BaseException) -> str:
    """All that an error of Spark's tells, of the JVM and of the workers too; empty for any other."""
    return f"{error}\n{getattr(error, '_stackTrace', '')}" if type(error).__module__.split(".")[0] in ("pyspark", "py4j") else ""


def _cause(error: BaseException) -> str:
    """The error in one line; of one from a Python worker the line behind its traceback; of the JVM's what Java said."""
    if isinstance(error, KeyboardInterrupt):
        return "ended from outside before it was done"
    text, kind = str(error).strip(), type(error).__name__
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    if "PythonException" in kind + lines[min(1, len(lines) - 1)]:
        worker = text.partition("\n\tat ")[0].rpartition("Traceback (most recent call last):\n")[2]
        return next((line.strip() for line in worker.splitlines() if line[:1].strip()), lines[-1].strip())
    return lines[1].removeprefix(": ").strip() if kind == "Py4JJavaError" and lines[1:] else f"{kind}: {lines[0]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
