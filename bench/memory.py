"""Memory from `fruits10` to 100,000 images: the drivers of the stages, and all processes together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.altered import multiplied, photographs
from bench.measure import MB, Row
from bench.runs import Ran, ran
from bench.stand import Stand, pictures, real

SIZES = (100_000,)
_FAST = {"preset": "fast"}
_FLAT = 1.25
_GOAL_GB = 3


def measure(at: Stand, sizes: Sequence[int] = SIZES) -> Iterable[Row]:
    """Peaks of a run over the images as they are, and over so many."""
    source, name = pictures("fruits10", at)
    n_few = len(photographs(source))
    few = ran(at, "few", source, _FAST)
    for size in sizes:
        landing = at.folder / "many" / str(size)
        n_many = multiplied(source, landing, size)
        many = ran(at, f"many-{size}", landing, _FAST)
        yield from _rows(few, many, f"{name}, {n_few:,} → {n_many:,} images", judged=real("fruits10") is not None)


def _rows(few: Ran, many: Ran, name: str, *, judged: bool) -> Iterable[Row]:
    before, after = few.usage.driver_bytes, many.usage.driver_bytes
    grown = {stage: after[stage] / before[stage] for stage in before if stage in after and stage != "train"}
    worst = max(grown, key=lambda stage: grown[stage])
    parts = ", ".join(f"{stage} {before[stage] / MB:.0f} → {after[stage] / MB:.0f}" for stage in grown)
    further = _n_images(many) - _n_images(few)
    each = max(after[stage] - before[stage] for stage in grown) / max(1, further)
    flat, note = grown[worst] <= _FLAT, f"MB: {parts}; at most {each:,.0f} bytes for each further image"
    yield Row(f"drivers but train's, {name}", f"{grown[worst]:.2f} × ({worst})", f"≤ {_FLAT} × each", flat if judged else None, note)
    bound = _FLAT * before["train"] + 2 * (_matrix_bytes(many) - _matrix_bytes(few))
    matrix = f"{_FLAT} × the first run's {before['train'] / MB:.0f} MB and twice what its matrix grew to {_matrix_bytes(many) / MB:.1f} MB"
    figure, within = f"{after['train'] / MB:.0f} MB", after["train"] <= bound
    yield Row(f"train's driver, {name}", figure, f"≤ {bound / MB:.0f} MB", within if judged else None, matrix)
    peak = many.usage.peak_bytes / (1 << 30)
    note = f"largest sum of PSS, Airflow's own processes included; before {few.usage.peak_bytes / (1 << 30):.1f} GB"
    note += f"; the largest JVM {many.usage.jvm_bytes / MB:.0f} MB, the largest worker {many.usage.worker_bytes / MB:.0f} MB"
    yield Row(f"process tree, {name}", f"{peak:.1f} GB", f"≤ {_GOAL_GB} GB", peak <= _GOAL_GB if judged else None, note)


def _matrix_bytes(chain: Ran) -> int:
    """What train gathers: the feature table's rows that are not test's."""
    size = sum(file.bytes for file in chain.lake.files(chain.run, "features") if Path(file.path).suffix == ".parquet")
    counts = chain.lake.manifest(chain.run, "train")["counts"]
    return int(size * counts["train"] / max(1, _n_images(chain)))


def _n_images(chain: Ran) -> int:
    return int(chain.lake.manifest(chain.run, "encode")["counts"]["images"])
