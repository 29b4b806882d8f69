"""What larger collections would take, reckoned from measured rates; `python -m bench.cost_model` writes the tables of docs/scaling.md anew.

Every rate stands here once, with where it comes from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pomona import prices

MB, PART_BYTES, ROW_GROUP_BYTES = 1e6, 32 << 20, 1 << 20
# S3 standard in us-east-1, dollars.
PUT_USD, GET_USD, GB_MONTH_USD = 0.005 / 1000, 0.0004 / 1000, 0.023


@dataclass(frozen=True)
class Rate:
    """A figure that the model reckons with; `source` says who measured it, or that it is assumed."""

    value: float
    unit: str
    what: str
    source: str


_RESULTS = "measured: bench/RESULTS.md of commit d9a22fe, on the EPYC"
_COLUMNS = "by its columns"
_ASSUMED = "assumed"
RATES: Mapping[str, Rate] = {
    "image_bytes": Rate(4_740, "bytes", "a picture of 100 pixels, as landed", "measured: fruits10, 32.4 MB in 6,821 files"),
    "copies": Rate(0.75, "an image", "altered copies: one for each training image", "measured: fruits10, 5,107 of 6,821 are train"),
    "described_bytes": Rate(38_000, "bytes", "descriptors of an image or copy", "measured: docs/architecture.md"),
    "rows": Rate(
        3.25, "an image", "feature rows: a training image, its copy and two turns, or a test image", "the recipe, at that share of train"
    ),
    "feature_bytes": Rate(2_200, "bytes", "a feature row of 256 components", _COLUMNS),
    "csv_bytes": Rate(4_900, "bytes", "a line of features.csv", _COLUMNS),
    "ingest_ms": Rate(0.47, "ms of a core", "ingest, an image", f"{_RESULTS}, 4 and 8 s for 6,821 and 23,854 images on 2 cores"),
    "describe_ms": Rate(
        2.8, "ms of a core", "describe, an image and its copies", "measured: docs/architecture.md, 1.6 ms an image or copy"
    ),
    "learn_vocabulary_ms": Rate(0.12, "ms of a core", "learn_vocabulary, an image", f"{_RESULTS}, 9 and 10 s for the same"),
    "encode_ms": Rate(2.6, "ms of a core", "encode, an image, its copies and turns", "measured: docs/ablation.md, 2.4 − 1.6 ms a row"),
    "train_ms": Rate(
        4.6, "ms of the driver", "train, an image", f"{_RESULTS}, 0.57 with `fast`; 8 times that assumed: 4 rows an image, twice as wide"
    ),
    "evaluate_ms": Rate(0.14, "ms of the driver", "evaluate, an image", f"{_RESULTS}, 10 and 13 s for 1,714 and 6,910 test images"),
    "driver_ms": Rate(0.05, "ms of the driver", "rows of listing, roster, index and slices, a stage and image", _ASSUMED),
    "driver_bytes": Rate(
        1416,
        "bytes",
        "the same rows in the driver's memory at the peak of ingest, an image",
        "measured: bench/RESULTS.md of commit d427b01, memory",
    ),
    "list_s": Rate(0.15, "s", "a page of 1,000 names from S3", _ASSUMED),
    "core": Rate(0.5, "cores", "what a vCPU does of a core that the rates were measured on", _ASSUMED),
    "even": Rate(0.8, "share", "of the cores that work while tasks run", _ASSUMED),
    "start_s": Rate(30, "s", "a stage's start on EMR, with the container", _ASSUMED),
    "cluster_s": Rate(420, "s", "the start of a cluster", _ASSUMED),
}

# A published prototype, 876 training images and about a third of that for test, seconds on EMR with 2 and with 4 core nodes.
TRAIN = {"list": (0.09, 0.08), "descriptors": (186.44, 187.22), "K-Means": (133.76, 83.63), "predict": (30.34, 16.96)}
TRAIN |= {"bag of words": (27.72, 30.09), "PCA": (82.06, 74.94)}
TEST = {
    "list": (0.08, 0.08),
    "descriptors": (61.59, 61.18),
    "predict": (10.25, 5.99),
    "bag of words": (10.35, 10.50),
    "PCA": (33.51, 30.33),
}
PUBLISHED_TOTAL = (576.19, 501.00)


def value(name: str) -> float:
    return RATES[name].value


def node_cores(instance: str = "m5.xlarge") -> float:
    """What the vCPUs of an instance do, in cores that the rates were measured on: xlarge has 4."""
    times = re.fullmatch(r"\w+\.(\d*)xlarge", instance)
    assert times, instance
    return 4 * int(times[1] or 1) * value("core")


# ---- the published prototype


def foretold_test(operation: str) -> float:
    """Seconds of the operation on the test images with 4 nodes: what 2 nodes took, and what the training images gained by 4."""
    return TEST[operation][0] * TRAIN[operation][1] / TRAIN[operation][0]


def prototype_usd(nodes: int, seconds: float) -> float:
    """A primary and so many core nodes, m5.xlarge."""
    return (1 + nodes) * prices.INSTANCES["m5.xlarge"].usd * seconds / 3600


def prototype_rows() -> list[list[str]]:
    """Each operation on the test images: foretold and published, seconds on 4 nodes."""
    rows = []
    for operation, (two, four) in TEST.items():
        gain = TRAIN[operation][0] / TRAIN[operation][1]
        foretold = foretold_test(operation)
        rows.append([operation, f"{gain:.3f} ×", f"{two:.2f}", f"{foretold:.2f}", f"{four:.2f}", f"{100 * (foretold / four - 1):+.1f} %"])
    foretold, four = sum(map(foretold_test, TEST)), sum(four for _, four in TEST.values())
    two = sum(two for two, _ in TEST.values())
    rows.append(["together", "", f"{two:.2f}", f"{foretold:.2f}", f"{four:.2f}", f"{100 * (foretold / four - 1):+.1f} %"])
    return rows


# ---- larger collections


@dataclass(frozen=True)
class Case:
    """A collection, of which `new` images came since the last run, on a cluster of one driver and `nodes` others.

    `changed` reckons with the changes that docs/scaling.md names: what the driver does alone for each image is done in tasks.
    """

    images: int
    new: int
    nodes: int
    instance: str = "m5.xlarge"
    changed: bool = False

    @property
    def cores(self) -> float:
        return self.nodes * node_cores(self.instance)


def sizes(images: int) -> dict[str, float]:
    """Files, bytes and rows of a collection."""
    described = images * (1 + value("copies"))
    image_bytes, descriptor_bytes = images * value("image_bytes"), described * value("described_bytes")
    features = images * value("rows")
    return {
        "landed_bytes": image_bytes,
        "image_parts": math.ceil(image_bytes / PART_BYTES),
        "descriptor_bytes": descriptor_bytes,
        "descriptor_parts": math.ceil(descriptor_bytes / PART_BYTES),
        "feature_bytes": features * value("feature_bytes"),
        "csv_bytes": images * value("csv_bytes"),
        # Four bands an image, some 100 bytes each; the listing once, to share it out.
        "shuffle_bytes": images * (4 * 100 + 150),
        "driver_bytes": images * value("driver_bytes"),
    }


def requests(case: Case) -> dict[str, float]:
    """Requests to S3 of one run, by their kind: parts are read a row group at a time, an index column by column."""
    whole, new = sizes(case.images), sizes(case.new)
    groups = PART_BYTES / ROW_GROUP_BYTES
    # learn_vocabulary once, encode for its sample, its vectors and its near copies, the index twice.
    passes = 6
    return {
        "list": 2 * case.images / 1000,
        "get": case.new + new["image_parts"] * groups + passes * whole["descriptor_parts"] * groups,
        "put": new["image_parts"] + new["descriptor_parts"] + whole["feature_bytes"] / PART_BYTES + 40,
    }


def requests_usd(asked: Mapping[str, float]) -> float:
    return (asked["list"] + asked["put"]) * PUT_USD + asked["get"] * GET_USD


def seconds(case: Case) -> dict[str, float]:
    """Wall seconds of each stage: tasks on all cores, then what the driver does alone."""
    in_tasks = {
        "ingest": case.new * value("ingest_ms"),
        "describe": case.new * value("describe_ms"),
        "learn_vocabulary": case.images * value("learn_vocabulary_ms"),
        "encode": case.images * value("encode_ms"),
        "train": 0.0,
        "evaluate": 0.0,
        "register": 0.0,
    }
    rows = case.images * value("driver_ms")
    alone = dict.fromkeys(in_tasks, rows)
    alone["ingest"] += 1e3 * case.images / 1000 * value("list_s")
    alone["train"] += case.images * value("train_ms")
    alone["evaluate"] += case.images * value("evaluate_ms")
    found = {}
    for stage, ms in in_tasks.items():
        tasks_ms, driver_ms = (ms + alone[stage], 0.0) if case.changed else (ms, alone[stage])
        found[stage] = value("start_s") + (tasks_ms / case.cores / value("even") + driver_ms / value("core")) / 1000
    return found


def cluster_usd(case: Case, wall_s: float) -> float:
    return (1 + case.nodes) * prices.INSTANCES[case.instance].usd * wall_s / 3600


def run_usd(case: Case) -> float:
    """The cluster from its start to its end, and S3's requests."""
    return cluster_usd(case, value("cluster_s") + sum(seconds(case).values())) + requests_usd(requests(case))


def added_image_usd(case: Case) -> float:
    """What one new image adds to a run: ingest, describe and requests; everything else is done anew anyway."""
    without = Case(case.images, 0, case.nodes, case.instance, case.changed)
    return (run_usd(case) - run_usd(without)) / case.new


if __name__ == "__main__":
    from bench import scaling_page

    scaling_page.rewrite()
