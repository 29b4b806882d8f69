"""Images answered as the service answers them: by a process of the version, asked over its pipes; and by its chain alone, in this process.

`python -m bench.served ORDER`, ORDER being JSON: `name`, `tracking`; `listing`, a file with a path a line; `warm`, how many pictures go
before and are not timed; `batch`, pictures to a batch. Found: `answers`, their `seconds_each`, `answer_cpu_s` of all (of both processes),
`chain_cpu_s` of the same without pipes, `batch_cpu_s` of the same in batches of the MLflow model. Today's `pomona` is not imported.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.plain.clock import Order, clocked
from serving import registry, worker
from serving.child import Child
from serving.workers import Workers


def answer(order: Order) -> Order:
    pictures = [Path(path).read_bytes() for path in Path(order["listing"]).read_text().splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_served(order, Path(folder), pictures))
        return {**found, **_alone(Path(folder), pictures[order["warm"] :], batch=order["batch"])}


async def _served(order: Order, folder: Path, pictures: list[bytes]) -> Order:
    asked = await Child.start([sys.executable, "-m", "serving.registry", order["name"], order["tracking"]], heard=False)
    number = (await asked.ask(registry.LOOK, limit_s=60))["version"]
    await asked.ask(registry.FETCH, json.dumps({"version": number, "folder": str(folder)}).encode(), limit_s=60)
    await asked.end()
    workers = Workers(folder, n_workers=1)
    await workers.start()
    for data in pictures[: order["warm"]]:
        await workers.ask(worker.ANSWER, data)
    answers, seconds, cpu = [], [], _cpu_s(workers)
    for data in pictures[order["warm"] :]:
        started = time.perf_counter()
        answers.append((await workers.ask(worker.ANSWER, data))["label"])
        seconds.append(time.perf_counter() - started)
    cpu = _cpu_s(workers) - cpu
    await workers.end()
    return {"answers": answers, "seconds_each": seconds, "answer_cpu_s": cpu}


def _cpu_s(workers: Workers) -> float:
    """Of this process and the version's."""
    times = [psutil.Process(pid).cpu_times() for pid in workers.pids]
    return time.process_time() + sum(each.user + each.system for each in times)


def _alone(folder: Path, wanted: list[bytes], *, batch: int) -> Order:
    import cv2
    import pandas as pd
    from mlflow.pyfunc import load_model
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = load_model(str(folder)).unwrap_python_model()  # type: ignore[no-untyped-call]
    cv2.setNumThreads(1)
    threadpool_limits(limits=1)
    for data in wanted[:10]:
        model._chain.answer(data)
    cpu = time.process_time()
    for data in wanted:
        model._chain.answer(data)
    chain_cpu_s, cpu = time.process_time() - cpu, time.process_time()
    for start in range(0, len(wanted), batch):
        model.predict(None, pd.DataFrame({"image": wanted[start : start + batch]}))
    return {"chain_cpu_s": chain_cpu_s, "batch_cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    clocked(answer)
