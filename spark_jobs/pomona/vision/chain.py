"""The whole chain in one object: from a file's bytes to the probabilities of its labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.vision.classify import Classifier, fit, probabilities
from pomona.vision.decode import check, decode
from pomona.vision.describe import Describer, Description, Extractor
from pomona.vision.encode import Encoding, at_quarters, encoded, fit_projection, in_sample, project, taught_quarters, vector
from pomona.vision.observe import Fit, Observation, light, lost, shares
from pomona.vision.unknown import Familiarity, known_classes, signs
from pomona.vision.words import Preparation, Vocabulary, draw, learn, prepare, vocabulary_size


class Row(NamedTuple):
    """A described training image, and descriptions of its altered copies."""

    content: str
    label: str
    group: str
    description: Description
    copies: tuple[Description, ...] = ()


class Told(NamedTuple):
    """An answer, (n_classes,) float64, and whether the picture is like anything that the chain knows.

    `novelty` is above 1 for one that is `unknown`; both are None for a chain whose rule was not calibrated.
    """

    probabilities: NDArray[np.float64]
    novelty: float | None
    unknown: bool | None


class Seen(NamedTuple):
    """What a chain says of a picture, and what the picture looked like to it."""

    told: Told
    observation: Observation


@dataclass(frozen=True)
class Chain:
    """Everything that an answer depends on, fitted.

    Attributes
    ----------
    knobs : the resolved knobs
    vocabulary : the words and their spread
    mean : (n_features,) float64
    components : (n_components, n_features) float64
    classifier : over n_components features
    familiarity : what is like the pictures that it was fitted on; None for a chain that cannot tell
    """

    knobs: Mapping[str, Any]
    vocabulary: Vocabulary
    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    classifier: Classifier
    familiarity: Familiarity | None = None

    def answer(self, data: bytes) -> NDArray[np.float64]:
        """The probability of each of `classifier.classes`, (n_classes,) float64, for the picture in `data`.

        Raises
        ------
        BadImage
            When the bytes are no usable picture, or one over `max_megapixels`.
        """
        check(data, max_megapixels=float(self.knobs["max_megapixels"]))
        return self.answer_decoded(decode(data, side_px=int(self.knobs["side_px"])))

    def keypoints(self, data: bytes) -> tuple[tuple[int, int], NDArray[np.float32]]:
        """Where the picture in `data` is described.

        Returns
        -------
        size : width and height of the picture as it was decoded, at most `side_px` long
        keypoints : (n_keypoints, 4) float32; x, y, size in pixels and angle in degrees; n_keypoints may be 0

        Raises
        ------
        BadImage
            As `answer`.
        """
        check(data, max_megapixels=float(self.knobs["max_megapixels"]))
        image, found = self._describer.keypoints(data)
        return (image.shape[1], image.shape[0]), found

    def answer_decoded(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The same for a picture (height, width, 3) BGR that `decode` gave, or as large."""
        return probabilities(self.classifier, self.features(self._describer.seen(image)))

    def told(self, data: bytes) -> Told:
        """The answer to the picture in `data`, with the bits of `answer`, and whether it is unknown.

        Raises
        ------
        BadImage
            As `answer`.
        """
        check(data, max_megapixels=float(self.knobs["max_megapixels"]))
        return self._told(*self.judged(self._describer.seen(decode(data, side_px=int(self.knobs["side_px"])))))

    def seen(self, data: bytes) -> Seen:
        """What `told` and `observed` say of the picture in `data`, with the same bits, of one description.

        Raises
        ------
        BadImage
            As `answer`.
        """
        check(data, max_megapixels=float(self.knobs["max_megapixels"]))
        image = decode(data, side_px=int(self.knobs["side_px"]))
        fit, found = self.judged(self._describer.seen(image))
        return Seen(self._told(fit, found), Observation(*fit, *light(image)))

    def observed(self, data: bytes) -> Observation:
        """The answer to the picture in `data`, with the same bits, and what the picture looked like to the chain.

        Raises
        ------
        BadImage
            As `answer`.
        """
        check(data, max_megapixels=float(self.knobs["max_megapixels"]))
        return self.observed_decoded(decode(data, side_px=int(self.knobs["side_px"])))

    def observed_decoded(self, image: NDArray[np.uint8]) -> Observation:
        """The same for a picture (height, width, 3) BGR that `decode` gave, or as large."""
        return Observation(*self.fit(self._describer.seen(image)), *light(image))

    def fit(self, description: Description) -> Fit:
        """How a described picture fits vocabulary, projection and classes."""
        return self.judged(description)[0]

    def judged(self, description: Description) -> tuple[Fit, NDArray[np.float64] | None]:
        """The same, and the signs, (3,), that the picture is unknown: see `unknown.signs`; None for a chain without familiarity."""
        points = self.vocabulary.points(prepare(description.descriptors, self._preparation))
        nearest, squares = self.vocabulary.quantised(points)
        found = encoded(points, nearest, description.histogram, self.vocabulary, self._encoding)
        features = project(found, self.mean, self.components)
        fit = Fit(
            probabilities(self.classifier, features),
            shares(nearest, len(self.vocabulary.words)),
            float(squares.mean()) if len(squares) else 0.0,
            lost(found, self.mean, features),
            len(points),
        )
        if self.familiarity is None:
            return fit, None
        return fit, signs(fit.probabilities, features, fit.reconstruction, self.familiarity.known)

    def features_of(self, data: bytes) -> NDArray[np.float64]:
        """The projected vector of the picture in `data`, (n_components,) float64; BadImage when it is none."""
        return self.features(self._describer.seen(decode(data, side_px=int(self.knobs["side_px"]))))

    def features(self, description: Description) -> NDArray[np.float64]:
        """The projected vector of a described picture, (n_components,) float64."""
        found = vector(description, self.vocabulary, self._preparation, self._encoding)
        return project(found, self.mean, self.components)

    def save(self, folder: Path) -> None:
        """Writes `knobs.json`, `vocabulary.npz`, `encoder.npz`, `model.npz` and, if there is one, `familiarity.npz` into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "knobs.json").write_text(json.dumps(dict(self.knobs), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        np.savez(folder / "vocabulary.npz", **self.vocabulary.arrays())  # type: ignore[arg-type]
        np.savez(folder / "encoder.npz", mean=self.mean, components=self.components)
        np.savez(folder / "model.npz", **self.classifier.arrays())  # type: ignore[arg-type]
        if self.familiarity:
            np.savez(folder / "familiarity.npz", **self.familiarity.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path) -> Chain:
        """The chain that `save` wrote; nothing in the files is executed."""
        knobs = json.loads((folder / "knobs.json").read_text(encoding="utf-8"))
        encoder = _arrays(folder / "encoder.npz")
        classifier = Classifier.from_arrays(_arrays(folder / "model.npz"))
        vocabulary = Vocabulary.from_arrays(_arrays(folder / "vocabulary.npz"))
        file = folder / "familiarity.npz"
        familiarity = Familiarity.from_arrays(_arrays(file)) if file.is_file() else None
        return cls(knobs, vocabulary, encoder["mean"], encoder["components"], classifier, familiarity)

    def _told(self, fit: Fit, found: NDArray[np.float64] | None) -> Told:
        """The answer of a picture that fits so and gives these signs (3,); None: the chain has no familiarity."""
        if found is None or self.familiarity is None or self.familiarity.rule is None:
            return Told(fit.probabilities, None, None)
        novelty = self.familiarity.rule.novelty(found)
        return Told(fit.probabilities, novelty, novelty > 1)

    def __getstate__(self) -> dict[str, Any]:
        # OpenCV's detectors do not pickle; the other side makes its own.
        return {name: value for name, value in self.__dict__.items() if name != "_describer"}

    @cached_property
    def _describer(self) -> Describer:
        return Describer(Extractor.of(self.knobs))

    @cached_property
    def _preparation(self) -> Preparation:
        return Preparation.of(self.knobs)

    @cached_property
    def _encoding(self) -> Encoding:
        return Encoding.of(self.knobs)


def fit_chain(rows: Iterable[Row], knobs: Mapping[str, Any]) -> Chain:
    """A chain fitted to rows that fit in memory: the same bits for the same set of rows, in whatever order they come.

    The vocabulary is learnt from the images themselves; projection and classifier from their copies too.

    Raises
    ------
    TooFewDescriptors
        When the rows hold fewer descriptors than words are wanted.
    OneClass
        When all rows have one label.
    """
    ordered = sorted(rows, key=lambda row: row.content)
    preparation, encoding = Preparation.of(knobs), Encoding.of(knobs)
    n_words = vocabulary_size(knobs, len({row.label for row in ordered}))
    n_wanted = n_words * int(knobs["descriptors_per_word"])
    vocabulary = learn(_sample(ordered, n_wanted, preparation, seed=int(knobs["seed"])), knobs=knobs, n_words=n_words).vocabulary
    lessons = [(row, copy) for row in ordered for copy in _lessons(row, n_copies=int(knobs["copies"]), turns=taught_quarters(knobs))]

    def coded(row: Row, copy: int) -> NDArray[np.float64]:
        return vector(_as_taught(row, copy), vocabulary, preparation, encoding)

    share = int(knobs["projection_images"]) / max(len(lessons), 1)
    chosen = [place for place, (row, copy) in enumerate(lessons) if in_sample(row.content, copy, share=share, seed=int(knobs["seed"]))]
    # The vectors of all others are never held together: a Fisher vector takes 50 kB.
    held = np.array([coded(*lessons[place]) for place in chosen])
    mean, components = fit_projection(held, encoding.components_for(n_words))
    known = dict(zip(chosen, held, strict=True))
    vectors = (known[place] if place in known else coded(*lesson) for place, lesson in enumerate(lessons))
    features = np.array([project(each, mean, components) for each in vectors])
    labels, groups, copies = ([*column] for column in zip(*((row.label, row.group, copy) for row, copy in lessons), strict=True))
    own = np.flatnonzero(np.array(copies) == 0)
    familiarity = Familiarity(known_classes(features[own], [labels[place] for place in own]))
    return Chain(knobs, vocabulary, mean, components, fit(features, labels, groups, copies, knobs=knobs), familiarity)


def _lessons(row: Row, *, n_copies: int, turns: Sequence[int]) -> list[int]:
    """As what the row is learnt: 0 for itself, the numbers of its copies, minus the quarters for a turned one."""
    return [*range(1 + len(row.copies[:n_copies])), *(-quarters for quarters in turns)]


def _as_taught(row: Row, copy: int) -> Description:
    return (row.description, *row.copies)[copy] if copy >= 0 else at_quarters(row.description, -copy)


def _sample(rows: list[Row], n_wanted: int, preparation: Preparation, *, seed: int) -> NDArray[np.float32]:
    share = n_wanted / max(sum(len(row.description.descriptors) for row in rows), 1)
    drawn = [draw(row.content, row.description.descriptors, share=share, seed=seed) for row in rows]
    return prepare(np.concatenate(drawn), preparation)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)
