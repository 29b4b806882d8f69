"""What a run has fitted, as one chain."""

from __future__ import annotations

from pomona.vision.chain import Chain
from pomona.vision.classify import Classifier
from pomona.vision.words import Vocabulary
from pomona.work import Work


def fitted(work: Work) -> Chain:
    """The run's vocabulary, projection and classifier under the knobs of the whole run, not only those that the stage obeys."""
    knobs = work.lake.manifest(work.run, "ingest")["notes"]["state"]["knobs"]
    vocabulary, encoder = Vocabulary.from_arrays(work.arrays("vocabulary")), work.arrays("encoder")
    return Chain(knobs, vocabulary, encoder["mean"], encoder["components"], Classifier.from_arrays(work.arrays("model")))
