"""What the simplest ways to answer take the test images for: the commonest label every time, and colours alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pomona.vision.classify import Classifier, probabilities
from pomona.work import Work


def commonest(counts: Mapping[str, int]) -> str:
    """The label with the most images, of equally common ones the first; empty without any."""
    return min(counts, key=lambda label: (-counts[label], label), default="")


def by_colour(work: Work, contents: Sequence[str]) -> dict[str, str] | None:
    """For each content the label that the run's colour histogram baseline gives it; None where the run has no baseline.

    Descriptor parts are read file by file, and of them the histograms alone; what stays in memory is one label an image.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if "baseline" not in work.lake.manifest(work.run, "train")["datasets"]:
        return None
    baseline = Classifier.from_arrays(work.arrays("baseline"))
    wanted = pa.array(contents, pa.string())
    found = {}
    for part in work.described()[0]:
        with work.lake.opened(part.path) as file:
            rows = pq.read_table(file, columns=["content", "histogram"], filters=pc.field("content").isin(wanted) & (pc.field("copy") == 0))
        for content, histogram in zip(rows["content"].to_pylist(), rows["histogram"].to_pylist(), strict=True):
            answer = probabilities(baseline, np.sqrt(np.frombuffer(histogram, np.float32).astype(np.float64)))
            found[content] = baseline.classes[int(answer.argmax())]
    return found
