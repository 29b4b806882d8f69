"""Every stage against a plain loop, in one run of the DAG `fast`; then a start, nothing new, and one new image in a hundred."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import answers, describing, starts
from bench.altered import alter, photographs
from bench.loops import Loop, Orders, plain
from bench.measure import Row
from bench.runs import Ran, Span, differing, ran, span
from bench.stand import Stand, linked, pictures, real
from bench.turns import Turn, against, seconds, turns
from pomona.knobs import resolve

FAST = {"preset": "fast"}
_SPOILED = 100
_GOAL_WHOLE, _GOAL_NOTHING_S, _GOAL_NEW = 1.5, 25, 0.05


def measure(at: Stand) -> Iterable[Row]:
    """The rows in the order of the chain, then what follows it on the same lake; drawn images are measured but not judged."""
    source, name = pictures("threebody", at)
    judged = real("threebody") is not None
    yield from (row if judged else row._replace(met=None) for row in _rows(at, source, name))


def _rows(at: Stand, source: Path, name: str) -> Iterator[Row]:
    landing = at.folder / "landing"
    files = [linked(path, landing / path.relative_to(source)) for path in photographs(source)]
    whole = ran(at, "stages", landing, FAST)
    # Some of its stages are done again by turns, and their outcomes with them.
    spans = whole.spans
    orders = Orders(whole.lake, whole.run, landing, resolve(FAST), at.folder / "plain")
    taken_in = turns(at, whole, "ingest", orders.ingest(files), landing=landing, knobs=FAST)
    yield _ingest(whole, taken_in, len(files), name)
    yield from describing.measure(at, files, landing)
    learnt = turns(at, whole, "learn_vocabulary", orders.learn_vocabulary(), landing=landing, knobs=FAST)
    yield _learn_vocabulary(whole, learnt)
    yield _inertia(whole, orders)
    coded = turns(at, whole, "encode", orders.encode(), landing=landing, knobs=FAST)
    yield _encode(whole, coded)
    yield from answers.measure(at, orders, whole)
    loops = {
        "describe": orders.describe(),
        "train": orders.train(),
        "evaluate": orders.evaluate(orders.pictures("path", "test")[:_SPOILED]),
    }
    found = {stage: plain(stage, order) for stage, order in loops.items()}
    by_turns = {"ingest": seconds(taken_in), "learn_vocabulary": seconds(learnt), "encode": seconds(coded)}
    yield _whole(whole, spans, by_turns | {stage: loop.seconds for stage, loop in found.items()}, found)
    yield _nothing_new(at, landing)
    yield from _some_new(at, whole, spans, landing)


def _counts(whole: Ran, stage: str) -> Mapping[str, float]:
    return dict((whole.lake.outcome(whole.run, stage) or {})["counts"])


def _ingest(whole: Ran, found: Sequence[Turn], n_files: int, name: str) -> Row:
    loop = found[-1].loop
    kept = whole.lake.read_rows(whole.lake.files(whole.run, "placements"), ["content"])
    same = differing({"files": (n_files, loop.found["files"]), "images": (len(set(kept["content"].to_pylist())), loop.found["images"])})
    return against(f"ingest, {n_files:,} files ({name}), against a plain loop", found, 1.3, same=same)


def _learn_vocabulary(whole: Ran, found: Sequence[Turn]) -> Row:
    counts, loop = _counts(whole, "learn_vocabulary"), found[-1].loop
    # The draws differ, each has its own: what they take differs by chance.
    same = differing({"words": (counts["words"], loop.found["words"])})
    same += differing({"sampled": (counts["sampled"], loop.found["sampled"])}, within=0.02)
    what = f"learn_vocabulary, {counts['words']:,} words of {counts['sampled']:,} descriptors, against reading and faiss"
    return against(what, found, 1.5, same=same)


def _inertia(whole: Ran, orders: Orders) -> Row:
    loop = plain("lloyd", orders.lloyd(), threads=2)
    ratio = loop.found["judged"] / loop.found["inertia"]
    note = f"over {loop.found['descriptors']:,} training descriptors, Lloyd's words from all of them in {loop.seconds:.0f} s"
    return Row("inertia of its words, against Lloyd on all descriptors", f"{ratio:.4f} ×", "≤ 1.01 ×", ratio <= 1.01, note)


def _encode(whole: Ran, found: Sequence[Turn]) -> Row:
    counts, loop = _counts(whole, "encode"), found[-1].loop
    names = {"images": "images", "components": "components", "near copies": "near"}
    same = differing({what: (counts[what.replace(" ", "_")], loop.found[theirs]) for what, theirs in names.items()})
    return against("encode against plain NumPy over the same arrays", found, 1.6, same=same)


def _whole(whole: Ran, spans: Mapping[str, Span], loop_s: Mapping[str, float], loops: Mapping[str, Loop]) -> Row:
    """Stages without their starts and Airflow, against all loops shared out evenly to two cores."""
    work, half = sum(each.seconds for each in spans.values()), sum(loop_s.values()) / 2
    parts = ", ".join(
        f"{stage} {each.seconds:.1f} against {loop_s[stage] / 2:.1f}" if stage in loop_s else f"{stage} {each.seconds:.1f}"
        for stage, each in spans.items()
    )
    same = differing(
        {
            "training images": (_counts(whole, "train")["train"], loops["train"].found["train"]),
            "test images": (_counts(whole, "evaluate")["test"], loops["evaluate"].found["test"]),
            "accuracy": (whole.summary["scores"]["official"]["accuracy"], loops["evaluate"].found["accuracy"]),
        },
        within=1e-3,
    )
    said = f"{work:.1f} s against {half:.1f} s; {parts}; the loops' cross-validated accuracy {loops['train'].found['accuracy']:.3f}, ours "
    validated = whole.summary["scores"]["cross_validated"]["accuracy"]
    said += f"{validated:.3f}; train counts from its first line, its Spark session's start is in it; register has no loop{same}"
    ratio = work / half
    what = "whole DAG `fast`, starts and Airflow taken out, against the loops' seconds ÷ 2"
    return Row(what, f"{ratio:.2f} ×", f"≤ {_GOAL_WHOLE} ×", ratio <= _GOAL_WHOLE, said)


def _nothing_new(at: Stand, landing: Path) -> Row:
    again = ran(at, "stages", landing, FAST)
    seconds, outcome = again.usage.seconds, again.lake.outcome(again.run, "ingest") or {}
    met = seconds <= _GOAL_NOTHING_S
    return Row(
        "nothing new", f"{seconds:.1f} s", f"≤ {_GOAL_NOTHING_S} s in all", met, f"{outcome['line']}; ingest {outcome['seconds']:.1f} s"
    )


def _some_new(at: Stand, whole: Ran, full_spans: Mapping[str, Span], landing: Path) -> Iterator[Row]:
    """One image more for every hundred, described: its share of the full run's work, and what starting took."""
    listed = photographs(landing)
    n_new = alter(landing, landing, [(path, 1) for path in listed[::100]])
    usages = {stage: at.stage(stage, "stages", landing, FAST, run="more") for stage in ("ingest", "describe")}
    spans = {stage: span(whole.lake, "more", stage) for stage in usages}
    more = {stage: found for stage, found in spans.items() if found}
    full = sum(full_spans[stage].seconds for stage in usages)
    share = sum(found.seconds for found in more.values()) / full
    said = "; ".join(f"{stage}: {found.said}" for stage, found in more.items())
    what = f"{n_new:,} new images beside {len(listed):,}: ingest and describe, starts taken out"
    yield Row(what, f"{100 * share:.1f} %", f"≤ {100 * _GOAL_NEW:.0f} % of the full run's", share <= _GOAL_NEW, said)
    yield from starts.started(at, usages, more)
