"""The service's model in a process of its own, which must not have imported today's `pomona`.

`python -m bench.served ORDER`, ORDER being JSON: `name`, `tracking`; `listing`, a file with a path a line; `warm`, how many pictures go
before and are not timed; `batch`, pictures to a batch. Found: `answers`, their `seconds_each`, `answer_cpu_s` of all, `chain_cpu_s` of the
same without MLflow and pandas about it, `batch_cpu_s` of the same in batches.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench.plain.clock import Order, clocked
from serving.champion import Champion


def answer(order: Order) -> Order:
    import pandas as pd

    champion = Champion(name=order["name"], tracking=order["tracking"])
    model = champion.load().model
    pictures = [Path(path).read_bytes() for path in Path(order["listing"]).read_text().splitlines()]
    for data in pictures[: order["warm"]]:
        champion.answer(data)
    wanted = pictures[order["warm"] :]
    answers, seconds, cpu = [], [], time.process_time()
    for data in wanted:
        started = time.perf_counter()
        answers.append(champion.answer(data)[0].label)
        seconds.append(time.perf_counter() - started)
    each_cpu_s, cpu = time.process_time() - cpu, time.process_time()
    chain = model._chain
    for data in wanted:
        chain.answer(data)
    chain_cpu_s, cpu = time.process_time() - cpu, time.process_time()
    for start in range(0, len(wanted), order["batch"]):
        model.predict(None, pd.DataFrame({"image": wanted[start : start + order["batch"]]}))
    batch_cpu_s = time.process_time() - cpu
    found = {"answers": answers, "seconds_each": seconds, "answer_cpu_s": each_cpu_s}
    return {**found, "chain_cpu_s": chain_cpu_s, "batch_cpu_s": batch_cpu_s}


if __name__ == "__main__":
    clocked(answer)
