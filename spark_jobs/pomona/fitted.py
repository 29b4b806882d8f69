"""What a run has fitted, as one chain."""

from __future__ import annotations

from pomona.vision.chain import Chain
from pomona.vision.classify import Classifier
from pomona.work import Work


def fitted(work: Work) -> Chain:
    """The run's vocabulary, projection and classifier under the knobs of the whole run, not only those that the stage obeys."""
    knobs = work.lake.manifest(work.run, "ingest")["notes"]["state"]["knobs"]
    words, encoder = work.arrays("vocabulary")["words"], work.arrays("encoder")
    return Chain(knobs, words, encoder["mean"], encoder["components"], Classifier.from_arrays(work.arrays("model")))
