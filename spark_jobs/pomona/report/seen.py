"""What the model sees of some images: keypoints drawn into them, and patches that share a visual word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pomona.report import pictures
from pomona.report.evidence import Picture
from pomona.vision.chain import Chain
from pomona.vision.describe import Describer, Extractor
from pomona.vision.words import Preparation, prepare

if TYPE_CHECKING:
    import pandas as pd

_DRAWN = 6
_IN_WORDS = 60


class Seen(NamedTuple):
    """Images with their keypoints, and strips of patches, a word each."""

    keypoints: Sequence[Picture]
    words: Sequence[Picture]


def seen(samples: pd.DataFrame, data: Mapping[str, bytes], chain: Chain) -> Seen:
    """What the chain sees of the samples: keypoints of 6 images of different labels, words of 60.

    Parameters
    ----------
    samples : roster rows: content, path, label
    data : the bytes of each content
    """
    describer = Describer(Extractor.of(chain.knobs))
    drawn = samples.groupby("label").head(1).head(_DRAWN)
    in_words = samples.groupby("label").head(max(1, _IN_WORDS // max(1, samples["label"].nunique()))).head(_IN_WORDS)
    return Seen(
        [_with_keypoints(describer, data[str(row.content)], str(row.path)) for row in drawn.itertuples()],
        _words(describer, chain, [data[content] for content in in_words["content"]]),
    )


def _with_keypoints(describer: Describer, data: bytes, path: str) -> Picture:
    image, keypoints = describer.keypoints(data)
    drawn = pictures.with_points if describer.extractor.extractor == "dense" else pictures.with_keypoints
    return Picture(drawn(image, keypoints), f"{path}: {len(keypoints):,} keypoints")


def _words(describer: Describer, chain: Chain, images: Sequence[bytes]) -> list[Picture]:
    preparation = Preparation.of(chain.knobs)
    vocabulary = chain.vocabulary
    strips = pictures.word_strips(
        images, describer=describer, to_words=lambda rows: vocabulary.nearest(vocabulary.points(prepare(rows, preparation)))
    )
    return [Picture(strip.jpeg, f"word {strip.word}") for strip in strips]
