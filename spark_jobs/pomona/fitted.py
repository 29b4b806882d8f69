"""What a run has fitted, as one chain."""

from __future__ import annotations

from pomona.vision.chain import Chain
from pomona.vision.classify import Classifier
from pomona.vision.unknown import Familiarity
from pomona.vision.words import Vocabulary
from pomona.work import Work


def fitted(work: Work, *, classifier: Classifier | None = None, familiarity: Familiarity | None = None) -> Chain:
    """The run's vocabulary, projection, classifier and familiarity under the knobs of the whole run, not only what the stage obeys.

    What is given is not read: `train` has it in hand before it exists in the lake.
    """
    knobs = work.lake.manifest(work.run, "ingest")["notes"]["state"]["knobs"]
    vocabulary, encoder = Vocabulary.from_arrays(work.arrays("vocabulary")), work.arrays("encoder")
    classifier = classifier or Classifier.from_arrays(work.arrays("model"))
    familiarity = familiarity or Familiarity.from_arrays(work.arrays("familiarity"))
    return Chain(knobs, vocabulary, encoder["mean"], encoder["components"], classifier, familiarity)
