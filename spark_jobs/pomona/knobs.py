"""The knobs: every parameter that changes the model, typed and bounded, with its value in each preset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KnobValue = bool | int | float | str
PRESETS = ("classic", "fast", "default", "max")


@dataclass(frozen=True)
class Knob:
    """A parameter that changes the model: typed, bounded, with one line of help.

    `default` is its value in every preset that `presets` does not name.
    """

    name: str
    section: str
    help: str
    default: KnobValue
    presets: Mapping[str, KnobValue] = field(default_factory=dict)
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> type:
        return type(self.default)

    @property
    def title(self) -> str:
        return self.name.replace("_px", " (pixels)").replace("_", " ").capitalize()

    @property
    def bounds(self) -> str:
        """The allowed values in words; the form, the command line and the README say the same."""
        if self.choices:
            return " | ".join(self.choices)
        if self.type is bool:
            return "true | false"
        if self.minimum is None and self.maximum is None:
            return "text" if self.type is str else "any number"
        return f"{self.minimum:,.10g} to {self.maximum:,.10g}"

    def value_in(self, preset: str) -> KnobValue:
        return self.presets.get(preset, self.default)

    def parse(self, value: Any) -> KnobValue:
        """The value in this knob's type.

        Raises
        ------
        BadKnob
            When it has another type or lies out of bounds; the text names knob, value and bounds.
        """
        try:
            parsed = self._converted(value)
        except (TypeError, ValueError):
            raise BadKnob(f"{self.name}={value!r} is not {_TYPE_WORDS[self.type]} ({self.bounds})") from None
        if self.choices and parsed not in self.choices:
            raise BadKnob(f"{self.name}={value!r} is none of {self.bounds}")
        if self.minimum is not None and self.maximum is not None and not self.minimum <= float(parsed) <= self.maximum:
            raise BadKnob(f"{self.name}={value} is out of bounds ({self.bounds})")
        if self.name == "group_pattern":
            _check_pattern(str(parsed))
        return parsed

    def _converted(self, value: Any) -> KnobValue:
        if self.type is bool:
            if isinstance(value, bool):
                return value
            return {"true": True, "false": False}.get(str(value).lower()) or _false_or_raise(value)
        if isinstance(value, bool):
            raise TypeError
        if self.type is str:
            if not isinstance(value, str):
                raise TypeError
            return value
        if self.type is int and float(value) != int(float(value)):
            raise ValueError
        return int(float(value)) if self.type is int else float(value)


class BadKnob(ValueError):
    """A knob has a value that its type or bounds do not allow."""


_TYPE_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _false_or_raise(value: Any) -> bool:
    if str(value).lower() != "false":
        raise ValueError
    return False


def _check_pattern(pattern: str) -> None:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise BadKnob(f"group_pattern={pattern!r} is not a regular expression: {error}") from None
    if pattern and "group" not in compiled.groupindex:
        raise BadKnob(f"group_pattern={pattern!r} has no part named (?P<group>…)")


def _sparse(value: KnobValue) -> dict[str, KnobValue]:
    """The value in the presets that look for keypoints."""
    return {"classic": value, "fast": value}


_PATTERN = r"^(?:(?P<group>r\d*)_)?\d+_100\.\w+$"

KNOBS: Mapping[str, Knob] = {
    knob.name: knob
    for knob in (
        Knob("preset", "Recipe", "values of every knob left empty", "default", choices=PRESETS),
        Knob("seed", "Recipe", "of every random draw", 0, minimum=0, maximum=2**31 - 1),
        Knob("labels", "Images", "only these labels, separated by commas; empty: all", ""),
        Knob("group_pattern", "Images", "file names of one group, by a part named group; empty: none", _PATTERN),
        Knob("max_megapixels", "Images", "larger pictures are refused by their header", 100.0, minimum=0.001, maximum=1000),
        Knob("max_reject_share", "Images", "stop when more of the pictures than this are rejected", 0.2, minimum=0, maximum=1),
        Knob("max_gone_share", "Images", "stop when more of the known pictures than this are gone", 0.2, minimum=0, maximum=1),
        Knob(
            "extractor",
            "Descriptors",
            "local descriptors on a grid (dense) or where a detector finds keypoints",
            "dense",
            {"classic": "sift", "fast": "sift"},
            choices=("dense", "sift", "orb"),
        ),
        Knob("side_px", "Descriptors", "longest side; larger pictures are reduced to it", 128, _sparse(512), minimum=16, maximum=8192),
        Knob("max_keypoints", "Descriptors", "strongest first, an image; dense: on a wider grid", 1000, minimum=1, maximum=100_000),
        Knob("contrast_threshold", "Descriptors", "of SIFT; lower finds more", 0.01, {"classic": 0.04}, minimum=0, maximum=1),
        Knob("edge_threshold", "Descriptors", "of SIFT; higher finds more", 20.0, {"classic": 10.0}, minimum=1, maximum=1000),
        Knob("grid_px", "Descriptors", "of dense: from one point to the next", 5, minimum=1, maximum=64),
        Knob("object_only", "Descriptors", "of dense: points on the object, not on its surroundings", True),
        Knob("copies", "Descriptors", "altered copies of each training image", 1, {**_sparse(0), "max": 2}, minimum=0, maximum=16),
        Knob(
            "n_words",
            "Vocabulary",
            "size of the vocabulary; 0: ten for each class",
            64,
            {"classic": 0, "fast": 500},
            minimum=0,
            maximum=20_000,
        ),
        Knob("descriptors_per_word", "Vocabulary", "drawn for K-Means", 1000, _sparse(300), minimum=1, maximum=10_000),
        Knob("kmeans_iterations", "Vocabulary", "of Lloyd's algorithm", 20, minimum=1, maximum=1000),
        Knob("em_steps", "Vocabulary", "of expectation-maximisation behind K-Means", 0, minimum=0, maximum=100),
        Knob("local_components", "Vocabulary", "of the descriptors' own PCA; 0: none", 48, _sparse(0), minimum=0, maximum=128),
        Knob("root", "Vocabulary", "RootSIFT: square root of the descriptor's shares; dense has it always", True, {"classic": False}),
        Knob(
            "colour_weight", "Vocabulary", "of colour at the keypoint beside the gradients", 1.0, {"classic": 0.0}, minimum=0, maximum=100
        ),
        Knob("energy_weight", "Vocabulary", "of sharpness beside the gradients; of dense", 0.6, minimum=0, maximum=100),
        Knob(
            "encoding",
            "Encoding",
            "Fisher vector, or bag of words as Hellinger shares or as counts",
            "fisher",
            {"classic": "counts", "fast": "hellinger"},
            choices=("fisher", "hellinger", "counts"),
        ),
        Knob("histogram_weight", "Encoding", "of the HSV histogram beside the words", 0.0, {"fast": 0.5}, minimum=0, maximum=100),
        Knob("turns", "Encoding", "dense: training images turned by a quarter, both ways, too", True, _sparse(False)),
        Knob(
            "n_components",
            "Encoding",
            "of the PCA; 0: 70 % of the words",
            256,
            {"classic": 0, "fast": 128},
            minimum=0,
            maximum=4096,
        ),
        Knob("projection_images", "Encoding", "that the PCA is fitted on, copies among them", 2000, minimum=50, maximum=20_000),
        Knob(
            "classifier",
            "Training",
            "kind of classifier",
            "logistic_regression",
            {"classic": "mlp"},
            choices=("logistic_regression", "mlp"),
        ),
        Knob(
            "regularisation",
            "Training",
            "C of the logistic regression; higher fits closer; balanced by groups, a group counts as one image",
            1000.0,
            {"classic": 30.0, "fast": 3.0},
            minimum=1e-6,
            maximum=1e6,
        ),
        Knob("max_iterations", "Training", "of the classifier's solver", 200, minimum=1, maximum=100_000),
        Knob(
            "balance",
            "Training",
            "what weighs the same: images, classes, or groups then classes",
            "group",
            {"classic": "none"},
            choices=("none", "class", "group"),
        ),
        Knob("copy_weight", "Training", "of an altered or turned copy beside its image", 0.3, minimum=0, maximum=10),
        Knob("folds", "Training", "of the grouped cross-validation; 0: none", 5, minimum=0, maximum=20),
        Knob("fold_images", "Training", "at most so many images are cross-validated", 1500, minimum=50, maximum=100_000),
        Knob("ablation", "Training", "cross-validate without each piece too: as long again for each", False),
        Knob("max_matrix_mb", "Training", "stop before a larger training matrix is gathered", 2048.0, minimum=1, maximum=1_000_000),
        Knob("margin", "Judgement", "accuracy the challenger may lose against the champion", 0.01, minimum=0, maximum=1),
        Knob("max_class_drop", "Judgement", "recall that a class may lose against the champion", 0.05, minimum=0, maximum=1),
        Knob("significance", "Judgement", "level of the paired tests", 0.05, minimum=0.0001, maximum=0.5),
        Knob("floor", "Judgement", "accuracy without which no model is promoted", 0.0, minimum=0, maximum=1),
        Knob("min_test", "Judgement", "fewer common test images than this keep the champion", 20, minimum=1, maximum=1_000_000),
        Knob("near_distance", "Judgement", "bits of 64 by which near copies may differ in their fingerprints", 3, minimum=0, maximum=3),
        Knob("robustness_images", "Judgement", "test images that are scored spoiled too; 0: none", 100, minimum=0, maximum=100_000),
        Knob("resamples", "Judgement", "of the groups, for intervals", 1000, minimum=100, maximum=100_000),
    )
}


def resolve(given: Mapping[str, Any]) -> dict[str, KnobValue]:
    """Every knob's value: the given one, or where it is missing or null, that of the preset.

    Raises
    ------
    BadKnob
        For an unknown name, a wrong type or a value out of bounds.
    """
    unknown = sorted(set(given) - set(KNOBS))
    if unknown:
        raise BadKnob(f"unknown knob {unknown[0]!r}: the knobs are {', '.join(KNOBS)}")
    preset = str(KNOBS["preset"].parse(given.get("preset") or KNOBS["preset"].default))
    resolved: dict[str, KnobValue] = {"preset": preset}
    for knob in KNOBS.values():
        if knob.name == "preset":
            continue
        value = given.get(knob.name)
        resolved[knob.name] = knob.value_in(preset) if value is None else knob.parse(value)
    return resolved
