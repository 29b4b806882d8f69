"""The tables of docs/scaling.md; the text around them stands in the page itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cost_model import (
    GB_MONTH_USD,
    MB,
    PART_BYTES,
    RATES,
    ROW_GROUP_BYTES,
    Case,
    added_image_usd,
    prototype_rows,
    requests,
    requests_usd,
    run_usd,
    seconds,
    sizes,
    value,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
# A million as the design is, on four times the nodes, and a hundred million with the changes that it then needs.
CASES: Mapping[str, Case] = {
    "1 million, 1 + 4": Case(1_000_000, 1_000_000, 4),
    "1 million, 1 + 16": Case(1_000_000, 1_000_000, 16),
    "1 million, changed, 1 + 16": Case(1_000_000, 1_000_000, 16, changed=True),
    "100 million, changed, 1 + 100": Case(100_000_000, 100_000_000, 100, "m5.4xlarge", changed=True),
}


@dataclass(frozen=True)
class Limit:
    """Something that ends: so many bytes or seconds an image of what there is so much of."""

    what: str
    each: float
    bound: float
    said: str
    change: str

    @property
    def images(self) -> float:
        return self.bound / self.each


def limits() -> list[Limit]:
    """What breaks first, the smallest collection first."""
    matrix = value("rows") * value("feature_bytes")
    found = [
        Limit(
            "`train` gathers the feature table",
            matrix,
            2048 * MB,
            "`max_matrix_mb`, 2,048 MB: the stage stops and says so",
            "raise the knob on a larger driver; then fit on a sample of groups, or by gradient steps over parts in Spark",
        ),
        Limit(
            "`features.csv`, one object written by the driver",
            value("csv_bytes"),
            10_000 * PART_BYTES,
            "S3's 10,000 pieces of 32 MB an object",
            "one CSV for each file of features, written by the task that has it",
        ),
        Limit(
            "listing, placements, roster, index and slices as rows of the driver",
            value("driver_bytes"),
            8e9,
            "8 GB, at the peak of `ingest`",
            "the snapshot as parts by the first byte of the content hash, compared in Spark; the driver keeps counts",
        ),
        Limit(
            "the landing zone is listed by one reader",
            value("list_s") / 1000,
            1800,
            "half an hour before anything begins",
            "S3 Inventory, read in Spark, or listings by prefix at once; the watcher woken by the queue alone",
        ),
        Limit(
            "the index is read off every descriptor part",
            (1 + value("copies")) * value("described_bytes") / ROW_GROUP_BYTES * 0.03 / 16,
            1800,
            "half an hour, 16 requests at once",
            "the index of the last run, and the footers of newer parts only",
        ),
    ]
    return sorted(found, key=lambda limit: limit.images)


def tables() -> dict[str, str]:
    """Each table of the page by its name, as Markdown."""
    return {
        "rates": _table(
            ["rate", "value", "what", "from"],
            [[f"`{name}`", f"{rate.value:,g} {rate.unit}", rate.what, rate.source] for name, rate in RATES.items()],
        ),
        "prototype": _table(
            ["operation, test images", "gain of 2 → 4 nodes, training images", "2 nodes, s", "4 nodes, foretold", "published", "off by"],
            prototype_rows(),
        ),
        "sizes": _table(["", "1 million", "100 million"], _size_rows()),
        "runs": _table(["", *CASES], _run_rows()),
        "limits": _table(
            ["what", "breaks at about", "because of", "what changes there"],
            [[limit.what, f"{_round(limit.images)} images", limit.said, limit.change] for limit in limits()],
        ),
    }


def _size_rows() -> list[list[str]]:
    columns = [sizes(case.images) for case in (CASES["1 million, 1 + 4"], CASES["100 million, changed, 1 + 100"])]
    asked = [requests(case) for case in (CASES["1 million, 1 + 4"], CASES["100 million, changed, 1 + 100"])]
    month = [(found["landed_bytes"] * 2 + found["descriptor_bytes"] + found["feature_bytes"]) / 1e9 * GB_MONTH_USD for found in columns]

    def row(what: str, *figures: str) -> list[str]:
        return [what, *figures]

    return [
        row("landed, and packed once more", *(_gb(found["landed_bytes"]) for found in columns)),
        row("image parts = tasks of `describe`", *(_round(found["image_parts"]) for found in columns)),
        row("descriptors", *(_gb(found["descriptor_bytes"]) for found in columns)),
        row("descriptor parts = tasks of `learn_vocabulary` and `encode`", *(_round(found["descriptor_parts"]) for found in columns)),
        row("feature table of a run", *(_gb(found["feature_bytes"]) for found in columns)),
        row("shuffled", *(_gb(found["shuffle_bytes"]) for found in columns)),
        row("rows of the driver, as the design is", *(_gb(found["driver_bytes"]) for found in columns)),
        row("requests of a first run: LIST", *(_round(each["list"]) for each in asked)),
        row("GET", *(_round(each["get"]) for each in asked)),
        row("PUT", *(_round(each["put"]) for each in asked)),
        row("requests, dollars", *(_usd(requests_usd(each)) for each in asked)),
        row("storage, dollars a month", *(_usd(each) for each in month)),
    ]


def _run_rows() -> list[list[str]]:
    cases = list(CASES.values())
    stages = [seconds(case) for case in cases]
    later = [Case(case.images, case.images // 100, case.nodes, case.instance, case.changed) for case in cases]
    return [
        ["instances", *(case.instance for case in cases)],
        *([f"`{stage}`, hours", *(f"{found[stage] / 3600:.2f}" for found in stages)] for stage in stages[0]),
        ["together, hours", *(f"{sum(found.values()) / 3600:.1f}" for found in stages)],
        ["dollars of the first run", *(_usd(run_usd(case)) for case in cases)],
        ["a run over 1 % new: hours", *(f"{sum(seconds(case).values()) / 3600:.1f}" for case in later)],
        ["dollars of it", *(_usd(run_usd(case)) for case in later)],
        ["dollars for each added image", *(f"{added_image_usd(case):.1e}" for case in later)],
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def _round(number: float) -> str:
    """A count with two or three figures: `12,300`, `4.1 million`."""
    if number >= 1e6:
        return f"{number / 1e6:,.{1 if number < 1e8 else 0}f} million"
    digits = max(0, len(str(round(number))) - 3)
    return f"{round(number, -digits):,.0f}"


def _gb(n_bytes: float) -> str:
    return f"{n_bytes / 1e12:,.1f} TB" if n_bytes >= 1e12 else f"{n_bytes / 1e9:,.1f} GB"


def _usd(usd: float) -> str:
    return f"{usd:,.0f}" if usd >= 100 else f"{usd:.2f}"


def written(text: str) -> str:
    """The page's text with its tables made anew.

    Raises
    ------
    ValueError
        When the page has no place for a table.
    """
    for name, table in tables().items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        place = pattern.search(text)
        if not place:
            raise ValueError(f"docs/scaling.md has no <!-- {name} --> … <!-- /{name} -->")
        text = f"{text[: place.end(1)]}{table}\n{text[place.start(2) :]}"
    return text


def rewrite() -> None:
    """Puts the tables as they are now into the page."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
