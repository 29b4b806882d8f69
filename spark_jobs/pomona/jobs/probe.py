"""probe: looks whether driver and executors reach lake, landing zone and MLflow, with the same packages.

No stage of a run: `make check-settings` submits it. Rows in: a number a task. Rows out: what each task's executor found.
"""

from __future__ import annotations

import importlib.metadata
import platform
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pomona import tracking
from pomona.lake import Lake
from pomona.landing import Landing
from pomona.outcome import BadInput, Result
from pomona.store_faults import StoreAway
from pomona.tasks import Tasks
from pomona.work import Work

if TYPE_CHECKING:
    import pyarrow as pa

    from pomona.tasks import Batches, Transform

# Several tasks a core: every executor that is up by then gets one.
_TASKS_A_CORE = 4
_PACKAGES = ("numpy", "pyarrow", "opencv-python-headless", "faiss-cpu")


def packages() -> str:
    """The versions that decide what a stage computes."""
    return f"Python {platform.python_version()}, " + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)


def looks(lake: Lake, landing: Landing, folder: str) -> Transform:
    """A transform of numbers into one row each on the machine that got it: it has written a file to the lake, and seen the driver's."""

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            for number in batch["number"].to_pylist():
                found = {"host": socket.gethostname(), "packages": packages(), "written": f"{number}.txt", "trouble": ""}
                try:
                    lake.get(f"{folder}/driver.txt")
                    lake.put(f"{folder}/{found['written']}", b"seen")
                    landing.first()
                except (OSError, BadInput, StoreAway) as error:
                    found["trouble"] = " ".join(str(error).split())
                yield pa.RecordBatch.from_pylist([found])

    return transform


def run(work: Work) -> Result:
    """One line on where the executors are; BadInput when one of them, or MLflow, cannot be reached or differs."""
    folder = work.folder("probe")
    try:
        found = _found(work, folder)
        unseen = {row["written"] for row in found} - set(work.lake.names(folder))
    finally:
        work.lake.remove(folder)
    for row in found:
        if row["trouble"]:
            raise BadInput(f"the executor on {row['host']}: {row['trouble']}; lake and landing zone must be places that all machines reach")
        if row["packages"] != packages():
            raise BadInput(f"the executor on {row['host']} has {row['packages']}, the driver {packages()}: set POMONA_SPARK_PYTHON")
        if row["written"] in unseen:
            raise BadInput(
                f"what the executor on {row['host']} wrote into the lake is not there: POMONA_LAKE must be a place that all share"
            )
    _ask_mlflow(work.order.place.tracking)
    hosts = sorted({row["host"] for row in found})
    return Result(f"{len(found)} tasks on {', '.join(hosts)} and MLflow reach each other", {}, {"tasks": len(found), "hosts": len(hosts)})


def _found(work: Work, folder: str) -> list[dict[str, str]]:
    import pyarrow as pa

    numbers = pa.table({"number": range(_TASKS_A_CORE * work.cores)})
    work.lake.write_file(folder, "driver.txt", b"seen")
    landing = Landing(work.order.place.landing, work.order.s3)
    schema = pa.schema([(name, pa.string()) for name in ("host", "packages", "written", "trouble")])
    found = Tasks.over_table(work.context, numbers, numbers.num_rows).map(looks(work.lake, landing, folder)).table(schema)
    return [dict(row) for row in found.to_pylist()]


def _ask_mlflow(uri: str) -> None:
    client = tracking.connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        client.search_experiments(max_results=1)
    except (OSError, MlflowException) as error:
        raise BadInput(f"MLflow at {uri} does not answer ({' '.join(str(error).split())[:200]}): set POMONA_TRACKING") from None
