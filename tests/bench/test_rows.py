"""How rows are judged: from figures written by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from bench import answers, describing, memory, peers, turns
from bench.describing import Described
from bench.loops import Loop
from bench.measure import MB, Usage, in_turn
from bench.runs import Span
from bench.turns import Turn


@dataclass
class Told:
    """A run of which only what a row asks for is told."""

    usage: Usage = field(default_factory=Usage)
    spans: dict[str, Span] = field(default_factory=dict)
    cpu: float = 0.0
    summary: dict[str, Any] = field(default_factory=dict)
    manifests: dict[str, Any] = field(default_factory=dict)
    features_bytes: int = 0
    run: str = "r"

    @property
    def lake(self) -> Any:
        files = [SimpleNamespace(path="f.parquet", bytes=self.features_bytes), SimpleNamespace(path="features.csv", bytes=10**9)]
        return SimpleNamespace(files=lambda run, dataset: files, manifest=lambda run, stage: self.manifests[stage])

    def cpu_s(self, stage: str) -> float:
        return self.cpu


def _with_memory(drivers: dict[str, int], *, images: int, peak_gb: float = 2.0) -> Any:
    """A run whose feature table has 1 MB for each image, half of them train's."""
    usage = Usage(driver_bytes={stage: size * MB for stage, size in drivers.items()}, peak_bytes=int(peak_gb * (1 << 30)))
    counts = {"encode": {"counts": {"images": images}}, "train": {"counts": {"train": images // 2}}}
    return Told(usage, manifests=counts, features_bytes=images * MB)


def test_a_stage_over_its_goal_says_where_its_time_goes() -> None:
    said = "5.0 s from its first line to the first task, 7.0 s to the last task, 1.0 s behind it"
    found = [Turn(26.0, "", Loop({}, 20.0, 21.0)), Turn(30.0, "", Loop({}, 10.0, 10.5)), Turn(12.0, said, Loop({}, 10.0, 10.5))]
    row = turns.against("encode", found, 1.2, same="; NOT THE SAME WORK: images 8 against 7")
    assert (row.figure, row.goal, row.met) == ("1.30 ×", "≤ 1.2 × its CPU", False)
    assert row.note == f"26.0 against 10.0 CPU seconds on one core, 3 times in turn; {said}; NOT THE SAME WORK: images 8 against 7"
    assert turns.against("encode", found, 1.3, same="").met
    assert turns.seconds(found) == 10.5


def test_drivers_are_flat_but_trains_which_may_grow_by_twice_its_matrix() -> None:
    few = _with_memory({"ingest": 200, "describe": 200, "train": 300}, images=20)
    many = _with_memory({"ingest": 220, "describe": 260, "train": 554}, images=200)
    drivers, train, tree = memory._rows(few, many, "images", judged=True)
    assert (drivers.figure, drivers.met) == ("1.30 × (describe)", False)
    assert drivers.note == f"MB: ingest 200 → 220, describe 200 → 260; at most {60 * MB / 180:,.0f} bytes for each further image"
    assert (train.figure, train.goal, train.met) == ("554 MB", "≤ 555 MB", True)
    assert (tree.figure, tree.met) == ("2.0 GB", True)
    many = _with_memory({"ingest": 220, "describe": 240, "train": 556}, images=200, peak_gb=3.1)
    assert [row.met for row in memory._rows(few, many, "images", judged=True)] == [True, False, False]
    assert [row.met for row in memory._rows(few, many, "images", judged=False)] == [None, None, None]


def test_a_peer_is_beaten_by_time_and_not_by_accuracy_lost() -> None:
    spans = {"learn_vocabulary": Span(0.0, 5.0, 8.0, 9.0), "encode": Span(10.0, 15.0, 20.0, 21.0), "describe": Span(0.0, 1.0, 90.0, 99.0)}
    told: Any = Told(spans=spans, summary={"scores": {"official": {"accuracy": 0.95}}})
    found = {"way_s": 200.0, "parts": {"KMeans": 150.0, "PCA": 50.0}, "accuracy": 0.95}
    row = peers._row("Spark", told, found, 20, "as installed", judged=True)
    assert (row.figure, row.met) == ("20.0 × faster", True)
    assert "10.0 s against 200.0 s (KMeans 150.0, PCA 50.0)" in row.note
    assert peers._row("Spark", told, {**found, "accuracy": 0.951}, 20, "", judged=True).met is False
    assert peers._row("Spark", told, {**found, "way_s": 199.0}, 20, "", judged=True).met is False


def test_rounds_go_in_turn() -> None:
    order: list[str] = []

    def told(name: str) -> str:
        order.append(name)
        return name

    assert in_turn(2, lambda: told("loop"), lambda: told("ours")) == [("loop", "ours"), ("loop", "ours")]
    assert order == ["loop", "ours", "loop", "ours"]


def test_a_round_that_something_slowed_does_not_decide(monkeypatch: Any) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    loops = [Loop({"keypoints": 7}, seconds, seconds) for seconds in (10.0, 10.0, 20.0)]
    one = [Described(cpu, 2 * both, 7, "said") for cpu, both in ((10.5, 5.0), (30.0, 5.0), (21.0, 9.0))]
    two = [Described(11.0, both, 7, "said") for both in (5.0, 20.0, 9.0)]
    against, faster = describing.rows(loops, one, two, 100)
    assert (against.figure, against.met) == ("1.05 ×", True)
    assert (faster.figure, faster.met) == ("2.00 × faster", True)
    (other, _) = describing.rows([Loop({"keypoints": 8}, 10.0, 10.0)], one[:1], two[:1], 100)
    assert other.note.endswith("; NOT THE SAME WORK: keypoints 7 against 8")


def test_answers_are_judged_by_the_round_in_the_middle() -> None:
    def round_(loop_s: float, served_s: float, batch_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
        loop = {"answers": ["Apple"] * 4, "answer_cpu_s": loop_s, "seconds_each": [0.005] * 4, "detector_cpu_s": 0.008}
        served = {"answers": ["Apple"] * 4, "answer_cpu_s": served_s, "seconds_each": [0.004, 0.004, 0.004, 0.02]}
        return loop, {**served, "chain_cpu_s": 0.01, "batch_cpu_s": batch_s}

    ratio, slow, batches = answers.rows([round_(0.01, 0.011, 0.01), round_(0.01, 0.03, 0.04), round_(0.02, 0.022, 0.02)])
    assert (ratio.figure, ratio.met) == ("1.10 ×", True)
    assert (slow.figure, slow.met) == ("20.0 ms", False)
    assert (batches.figure, batches.met) == ("200 images/s/core", False)
    assert "SIFT alone takes 2.00 ms an image: 500 images/s would be all that it allows" in batches.note
