"""What a run has fitted, as one chain."""

from __future__ import annotations

from pomona.vision.chain import Chain
from pomona.vision.classify import Classifier
from pomona.vision.unknown import Familiarity
from pomona.vision.words import Vocabulary
from pomona.work import Work


def fitted(work: Work) -> Chain:
    """The run's vocabulary, projection, classifier and familiarity under the knobs of the whole run, not only what the stage obeys."""
    knobs = work.lake.manifest(work.run, "ingest")["notes"]["state"]["knobs"]
    vocabulary, encoder = Vocabulary.from_arrays(work.arrays("vocabulary")), work.arrays("encoder")
    classifier, familiarity = Classifier.from_arrays(work.arrays("model")), Familiarity.from_arrays(work.arrays("familiarity"))
    return Chain(knobs, vocabulary, encoder["mean"], encoder["components"], classifier, familiarity)
