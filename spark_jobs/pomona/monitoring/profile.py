"""What the images that a model was trained on looked like to it: a sample of them, small enough to travel with the model. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pomona.vision.observe import Fit, Observation, Observations, stacked

# More would not sharpen what is usual, which is a matter of groups; these take a megabyte, and seconds.
MAX_IMAGES = 1_000

# Halves of the bytes: shares of words need three digits.
_STORED = {"words": np.float16}


@dataclass(frozen=True)
class Profile:
    """Observations of training images, with what tells which of them belong together.

    Attributes
    ----------
    observations : Observations
        Of n images. A model is surer of images that it was fitted on, and its projection fits them better: `held_out` puts right what
        was observed so.
    labels, groups : (n,) str
        An image's group is known by both: two labels may each have a group `1`.
    classes : (n_classes,) str
        What the probabilities are of, in their order.
    """

    observations: Observations
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]
    classes: tuple[str, ...]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The same as named arrays, about a megabyte for 1,000 images and 500 words."""
        seen = {name: np.asarray(column, dtype=_STORED.get(name)) for name, column in self.observations._asdict().items()}
        return {**seen, "labels": self.labels, "groups": self.groups, "classes": np.asarray(self.classes, np.str_)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Profile:
        """The profile that `arrays()` took apart; shares of words have lost all but three digits."""
        seen = Observations(**{name: arrays[name] for name in Observations._fields})
        classes = tuple(str(label) for label in arrays["classes"])
        return cls(seen._replace(words=seen.words.astype(np.float32)), arrays["labels"], arrays["groups"], classes)

    def label_codes(self) -> NDArray[np.int64]:
        """(n,) the place of each image's label among the classes."""
        places = {label: place for place, label in enumerate(self.classes)}
        return np.array([places[label] for label in self.labels.tolist()], np.int64)

    def members(self) -> tuple[NDArray[np.int64], int]:
        """(n,) the number of each image's group, and how many groups there are."""
        keys = list(zip(self.labels.tolist(), self.groups.tolist(), strict=True))
        numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
        return np.array([numbers[key] for key in keys], np.int64), len(numbers)


def profile(observations: Sequence[Observation], labels: Sequence[str], groups: Sequence[str], *, classes: Sequence[str]) -> Profile:
    """The profile of observed training images.

    Raises
    ------
    ValueError
        When there are none, or more than `MAX_IMAGES`, or a label is none of the classes.
    """
    if not 0 < len(observations) <= MAX_IMAGES:
        raise ValueError(f"{len(observations)} observed images: a profile has 1 to {MAX_IMAGES:,}; draw that many")
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise ValueError(f"label {unknown[0]!r} is none of the model's classes {', '.join(classes)}: profile what it was trained on")
    return Profile(stacked(observations), np.asarray(labels, np.str_), np.asarray(groups, np.str_), tuple(classes))


def held_out(observation: Observation, by_fold: Fit | None) -> Observation:
    """The observation of a training image as if the model had not been fitted on it.

    Answer and fit come from a chain of grouped cross-validation that was not fitted on the image's group (`validate.Validation.fits`), for
    the model's own are too good: on 49 varieties of fruit the mean probability of its answer was .60 where it is .57 for new varieties,
    the projection lost .46 for .54, points lay .146 from their words for .155. The words stay the model's: a fold has others. An image
    that no fold held out (None) stays as it is.
    """
    if by_fold is None:
        return observation
    kept = {name: getattr(by_fold, name) for name in ("probabilities", "quantisation", "reconstruction")}
    return observation._replace(**kept)
