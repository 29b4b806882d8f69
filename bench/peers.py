"""learn_vocabulary and encode against how it is usually done: with Spark's own parts, and with OpenCV's K-Means."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyspark

from bench.altered import photographs
from bench.loops import Orders, plain
from bench.measure import Row, done
from bench.runs import Ran, ran
from bench.stand import PROJECT, Stand, linked, pictures, real
from pomona.knobs import resolve

SIZES = (0,)
_FAST = {"preset": "fast"}
_GOAL_SPARK, _GOAL_OPENCV = 20, 5
_STAGES = ("learn_vocabulary", "encode")


def measure(at: Stand, sizes: Sequence[int] = SIZES) -> Iterable[Row]:
    """Both ways over the descriptors of one run; so many images spread over all of `fruits10`, 0 for all of them."""
    source, name = pictures("fruits10", at)
    listed = photographs(source)
    for size in sizes:
        wanted = listed[:: max(1, len(listed) // size)] if size else listed
        landing = at.folder / f"peers-{size}"
        for path in wanted:
            linked(path, landing / path.relative_to(source))
        chain = ran(at, f"peers-{size}", landing, _FAST)
        orders = Orders(chain.lake, chain.run, landing, resolve(_FAST), at.folder / f"plain-{size}")
        what, judged = f"{name}, {len(wanted):,} images", real("fruits10") is not None
        order = chosen(orders, resolve(_FAST))
        note = "OpenCV 5 has no BOWKMeansTrainer: cv2.kmeans over all training descriptors, as that trainer calls it but once and with our "
        note += "iterations, and BFMatcher for the words"
        found = plain("opencv_way", order, threads=0).found
        yield _row(f"OpenCV's way, {what}", chain, found, _GOAL_OPENCV, note, judged=judged)
        found = _spark_way(at, {**order, "lists": str(at.folder / f"lists-{size}")})
        note = "rows of lists, explode, MLlib's KMeans, groupBy, MLlib's PCA; `spark-submit` as installed, with 6 GB"
        yield _row(f"the usual Spark way, {what}", chain, found, _GOAL_SPARK, note, judged=judged)


def chosen(orders: Orders, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """What both ways are ordered: the same images, words, iterations, components and classifier as ours."""
    return {**orders.train(), **orders.encode(), "iterations": knobs["kmeans_iterations"]}


def _row(what: str, chain: Ran, found: Mapping[str, Any], goal: int, note: str, *, judged: bool) -> Row:
    ours, accuracy = sum(chain.spans[stage].seconds for stage in _STAGES), chain.summary["scores"]["official"]["accuracy"]
    faster = found["way_s"] / ours
    met = faster >= goal and accuracy >= found["accuracy"]
    parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in found["parts"].items())
    said = (
        f"{' and '.join(_STAGES)} {ours:.1f} s against {found['way_s']:.1f} s ({parts}), starts taken out; accuracy {accuracy:.4f} against "
    )
    said += f"{found['accuracy']:.4f}; {note}"
    return Row(f"ours against {what}", f"{faster:.1f} × faster", f"≥ {goal} ×, accuracy not lower", met if judged else None, said)


def _spark_way(at: Stand, order: Mapping[str, Any]) -> Mapping[str, Any]:
    """Runs bench/plain/spark_way.py as an application; what it found stands in a file, for its output is Spark's."""
    submit, result = Path(pyspark.__file__).parent / "bin" / "spark-submit", at.folder / "spark-way.json"
    command = [str(submit), "--master", "local[*]", "--driver-memory", "6g", str(PROJECT / "bench" / "plain" / "spark_way.py")]
    done(
        [*command, json.dumps({**order, "result": str(result)})],
        at.folder / "spark-way.log",
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYSPARK_PYTHON": sys.executable},
        cwd=at.folder,
    )
    return dict(json.loads(result.read_text()))
