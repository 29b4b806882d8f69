"""The whole DAG, as `make run` runs it after its set-up: seconds, memory, and the scores that its summary names."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Row, Usage, used
from bench.stand import VARIABLE, Stand, linked, pictures, real
from pomona.lake import Lake
from pomona_airflow.deployment import Deployment
from run.airflow_home import AirflowHome
from run.chain import prepare, run

_PREFIX = re.compile(r"[A-Za-z]+\d*_\d+_\d+\.\w+")


@dataclass(frozen=True)
class Chain:
    """One run of the DAG: what it used, and its `summary.json`."""

    usage: Usage
    summary: Mapping[str, Any]

    @property
    def accuracy(self) -> float:
        return float(self.summary["scores"]["official"]["accuracy"])

    @property
    def said(self) -> str:
        """The score's interval and what it was measured on."""
        scores = self.summary["scores"]["official"]
        low, high = scores["accuracy_interval"]
        interval = "no interval" if low is None or high is None else f"95 %: {low:.3f} to {high:.3f}"
        return f"{interval}; {scores['n_images']:,} test images of {scores['n_groups']} groups, macro-F1 {scores['macro_f1']:.3f}"


def fruits10(at: Stand) -> Iterable[Row]:
    """Time and official score on `fruits10`, and its score across rotations."""
    landing, name = pictures("fruits10", at)
    chain = _run(at, "fruits10", landing, {"preset": "fast"})
    yield _timed(chain, name, 100, judged=real("fruits10") is not None)
    default = _run(at, "fruits10", landing, {"robustness_images": 2000})
    yield Row(f"official split, {name}", f"{default.accuracy:.4f}", "≥ .999", default.accuracy >= 0.999, default.said)
    yield from _robust(default, name)
    if real("fruits10") is None:
        return
    across = _run(at, "across", across_rotations(landing, at.folder / "across"), {})
    yield Row(
        f"{name}, trained on one rotation, tested on the others", f"{across.accuracy:.3f}", "≥ .93", across.accuracy >= 0.93, across.said
    )


def threebody(at: Stand) -> Iterable[Row]:
    """Time and memory on `threebody`, and the scores of the presets `default` and `classic`."""
    if real("threebody") is None:
        yield Row("threebody", "not measured", note=f"{VARIABLE} names no folder with it")
        return
    landing, name = pictures("threebody", at)
    fast = _run(at, "threebody", landing, {"preset": "fast"})
    yield _timed(fast, name, 150, judged=True)
    peak = fast.usage.peak_bytes / (1 << 30)
    yield Row(f"process tree, {name}", f"{peak:.1f} GB", "≤ 4 GB", peak <= 4, "largest sum of PSS, Airflow's own processes included")
    default = _run(at, "threebody", landing, {"folds": 10, "fold_images": 3000})
    yield Row(f"{name}, preset `default`", f"{default.accuracy:.3f}", "≥ .95", default.accuracy >= 0.95, default.said)
    scores = default.summary["scores"]
    macro_f1, validated = scores["official"]["macro_f1"], scores["cross_validated"]
    low, high = validated["accuracy_interval"]
    held = f"95 %: {low:.3f} to {high:.3f}; {validated['n_images']:,} training images of {validated['n_groups']} groups"
    yield Row(f"{name}, preset `default`, macro-F1", f"{macro_f1:.3f}", "≥ .94", macro_f1 >= 0.94)
    yield Row("the same, cross-validated by variety on train", f"{validated['accuracy']:.3f}", "≥ .86", validated["accuracy"] >= 0.86, held)
    classic = _run(at, "threebody", landing, {"preset": "classic"})
    yield Row(f"{name}, preset `classic`", f"{classic.accuracy:.3f}", ".60 to .72", 0.60 <= classic.accuracy <= 0.72, classic.said)


def _robust(chain: Chain, name: str) -> Iterable[Row]:
    """The worst corruption that leaves the surroundings or makes them plain, and the drawn texture."""
    found = dict(chain.summary["robustness"]["accuracies"])
    plain = {kind: accuracy for kind, accuracy in found.items() if kind not in ("none", "textured background")}
    worst = min(plain, key=lambda kind: plain[kind])
    said = ", ".join(f"{kind} {accuracy:.3f}" for kind, accuracy in found.items())
    yield Row(f"worst of eight corruptions, {name}", f"{plain[worst]:.3f}", "≥ .98", plain[worst] >= 0.98, said)


def across_rotations(source: Path, target: Path) -> Path:
    """All images of a folder in Fruits-360's layout: in Training where the file name has no rotation prefix, in Test where it has one.

    Raises
    ------
    FileExistsError
        When two images would get one name.
    """
    for folder in sorted(path for path in source.glob("*/*") if path.is_dir()):
        for file in sorted(folder.iterdir()):
            side = "Test" if _PREFIX.fullmatch(file.name) else "Training"
            linked(file, target / side / folder.name / file.name)
    return target


def _timed(chain: Chain, name: str, goal_s: int, *, judged: bool) -> Row:
    stages = ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in chain.summary["seconds"].items())
    counts = chain.summary["counts"]
    figure = f"{chain.usage.seconds:.1f} s"
    met = chain.usage.seconds <= goal_s if judged else None
    return Row(f"whole DAG, {name}, preset `fast`", figure, f"≤ {goal_s} s", met, f"{counts['kept']:,} images kept; {stages}")


def _run(at: Stand, name: str, landing: Path, knobs: Mapping[str, Any]) -> Chain:
    """The chain over the landing zone, after a set-up that does not count; its lines go to the terminal's error stream."""
    at.set_up()
    deployment = Deployment.from_environment(at.settings(name, landing))
    home = AirflowHome.of(at.state / "run" / name, deployment, logging__json_logs="True")
    lake = Lake(str(at.lake), name)
    before = _summaries(lake)
    with contextlib.redirect_stdout(sys.stderr):
        prepare(home, deployment, demo=False)
        with used() as usage:
            code = run(home, deployment, knobs)
    new = sorted(_summaries(lake) - before)
    if code or not new:
        raise RuntimeError(f"the chain over {landing} with {dict(knobs)} ended with {code} and {len(new)} summaries")
    return Chain(usage, lake.document(new[-1]) or {})


def _summaries(lake: Lake) -> set[str]:
    root = Path(lake.location("runs"))
    return {f"runs/{path.parent.name}/summary.json" for path in root.glob("*/summary.json")}
