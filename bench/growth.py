"""Time for each image as they become more: `threebody` once, twice, four and eight times over."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence

from bench.altered import multiplied, photographs
from bench.measure import Row
from bench.runs import ran
from bench.stand import Stand, pictures, real

SIZES = (1, 2, 4, 8)
_GOAL = 1.10


def measure(at: Stand, sizes: Sequence[int] = SIZES) -> Iterable[Row]:
    """A row for each multiple: milliseconds an image, starts and Airflow taken out, beside those of the first multiple."""
    source, name = pictures("threebody", at)
    n_base = len(photographs(source))
    first: Mapping[str, float] = {}
    for size in sizes:
        landing = at.folder / f"times-{size}"
        n_images = multiplied(source, landing, size * n_base)
        chain = ran(at, f"times-{size}", landing, {"preset": "fast"})
        each = {stage: 1000 * found.seconds / n_images for stage, found in chain.spans.items()}
        yield _row(f"{name} × {size}, {n_images:,} images", each, first, sizes[0], judged=real("threebody") is not None)
        first = first or each
        # The next one is larger: the disk holds one of them at a time.
        shutil.rmtree(landing)
        shutil.rmtree(at.lake / f"times-{size}")


def _row(what: str, each: Mapping[str, float], first: Mapping[str, float], smallest: int, *, judged: bool) -> Row:
    total = sum(each.values())
    parts = ", ".join(f"{stage} {value:.2f}" for stage, value in each.items())
    if not first:
        return Row(what, f"{total:.2f} ms an image", note=f"starts taken out; {parts}")
    ratio = total / sum(first.values())
    grown = [f"{stage} {value / first[stage]:.2f} ×" for stage, value in each.items() if value > _GOAL * first[stage]]
    note = f"{ratio:.2f} × that of × {smallest}; {parts}" + (f"; more for each image: {', '.join(grown)}" if grown else "")
    return Row(what, f"{total:.2f} ms an image", f"≤ {_GOAL:.2f} × that of × {smallest}", ratio <= _GOAL if judged else None, note)
