"""The whole DAG: seconds, memory, and the scores that its summary names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from bench.measure import Row
from bench.runs import Ran, ran
from bench.stand import VARIABLE, Stand, linked, pictures, real

_PREFIX = re.compile(r"[A-Za-z]+\d*_\d+_\d+\.\w+")


def fruits10(at: Stand) -> Iterable[Row]:
    """Time and official score on `fruits10`, and its score across rotations."""
    landing, name = pictures("fruits10", at)
    chain = ran(at, "fruits10", landing, {"preset": "fast"})
    yield _timed(chain, name, 75, judged=real("fruits10") is not None)
    default = ran(at, "fruits10", landing, {"robustness_images": 2000})
    yield Row(f"official split, {name}", f"{_accuracy(default):.4f}", "≥ .999", _accuracy(default) >= 0.999, _said(default))
    yield from _robust(default, name)
    if real("fruits10") is None:
        return
    across = ran(at, "across", across_rotations(landing, at.folder / "across"), {})
    yield Row(
        f"{name}, trained on one rotation, tested on the others",
        f"{_accuracy(across):.3f}",
        "≥ .93",
        _accuracy(across) >= 0.93,
        _said(across),
    )


def threebody(at: Stand) -> Iterable[Row]:
    """Time and memory on `threebody`, and the scores of the presets `default` and `classic`."""
    if real("threebody") is None:
        yield Row("threebody", "not measured", note=f"{VARIABLE} names no folder with it")
        return
    landing, name = pictures("threebody", at)
    fast = ran(at, "threebody", landing, {"preset": "fast"})
    yield _timed(fast, name, 105, judged=True)
    peak = fast.usage.peak_bytes / (1 << 30)
    yield Row(f"process tree, {name}", f"{peak:.1f} GB", "≤ 4 GB", peak <= 4, "largest sum of PSS, Airflow's own processes included")
    default = ran(at, "threebody", landing, {"folds": 10, "fold_images": 3000})
    yield Row(f"{name}, preset `default`", f"{_accuracy(default):.3f}", "≥ .95", _accuracy(default) >= 0.95, _said(default))
    scores = default.summary["scores"]
    macro_f1, validated = scores["official"]["macro_f1"], scores["cross_validated"]
    low, high = validated["accuracy_interval"]
    held = f"95 %: {low:.3f} to {high:.3f}; {validated['n_images']:,} training images of {validated['n_groups']} groups"
    yield Row(f"{name}, preset `default`, macro-F1", f"{macro_f1:.3f}", "≥ .94", macro_f1 >= 0.94)
    yield Row("the same, cross-validated by variety on train", f"{validated['accuracy']:.3f}", "≥ .86", validated["accuracy"] >= 0.86, held)
    classic = ran(at, "threebody", landing, {"preset": "classic"})
    yield Row(f"{name}, preset `classic`", f"{_accuracy(classic):.3f}", ".60 to .72", 0.60 <= _accuracy(classic) <= 0.72, _said(classic))


def _robust(chain: Ran, name: str) -> Iterable[Row]:
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


def _timed(chain: Ran, name: str, goal_s: int, *, judged: bool) -> Row:
    stages = ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in chain.summary["seconds"].items())
    counts = chain.summary["counts"]
    figure = f"{chain.usage.seconds:.1f} s"
    met = chain.usage.seconds <= goal_s if judged else None
    work = sum(span.seconds for span in chain.spans.values())
    note = f"{counts['kept']:,} images kept; {stages}; starts and Airflow {chain.usage.seconds - work:.0f} of it"
    return Row(f"whole DAG, {name}, preset `fast`", figure, f"≤ {goal_s} s", met, note)


def _accuracy(chain: Ran) -> float:
    return float(chain.summary["scores"]["official"]["accuracy"])


def _said(chain: Ran) -> str:
    """The score's interval and what it was measured on."""
    scores = chain.summary["scores"]["official"]
    low, high = scores["accuracy_interval"]
    interval = "no interval" if low is None or high is None else f"95 %: {low:.3f} to {high:.3f}"
    return f"{interval}; {scores['n_images']:,} test images of {scores['n_groups']} groups, macro-F1 {scores['macro_f1']:.3f}"
