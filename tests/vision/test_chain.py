"""The chain from bytes to probabilities: the same bits however its rows arrive, on disk and back, and validated by groups."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pomona.knobs import resolve
from pomona.vision import dense
from pomona.vision.chain import Chain, Row, fit_chain
from pomona.vision.classify import OneClass
from pomona.vision.decode import BadImage
from pomona.vision.describe import Description
from pomona.vision.validate import cross_validate, folds_of
from pomona.vision.words import TooFewDescriptors

Orchard = list[tuple[Any, bytes]]


def bits(chain: Chain) -> list[bytes]:
    arrays = [*chain.vocabulary.arrays().values(), chain.mean, chain.components, *chain.classifier.arrays().values()]
    return [np.asarray(array).tobytes() for array in arrays]


@pytest.fixture(scope="module")
def chain(orchard: Orchard, knobs: dict[str, Any]) -> Chain:
    return fit_chain([row for row, _ in orchard], knobs)


def test_two_hues_are_told_apart_from_their_bytes(chain: Chain, blobs: Any, saved: Any) -> None:
    for seed in range(100, 105):
        answers = [chain.answer(saved(blobs(seed, hue=hue), "PNG")) for hue in (5, 140)]
        assert [chain.classifier.classes[int(answer.argmax())] for answer in answers] == ["apple", "plum"]


@pytest.mark.parametrize("preset", ["default", "classic"])
def test_rows_in_any_order_give_the_same_bits(preset: str, orchard: Orchard, knobs: dict[str, Any]) -> None:
    own = knobs if preset == "default" else {**knobs, "encoding": "counts", "classifier": "mlp", "histogram_weight": 0.0, "n_components": 0}
    rows = [row for row, _ in orchard]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert bits(fit_chain(rows, own)) == bits(fit_chain(shuffled, own))


def test_an_image_teaches_in_its_copies_and_turns_and_the_words_by_itself_alone(orchard: Orchard, knobs: dict[str, Any]) -> None:
    alone = [row._replace(copies=()) for row, _ in orchard[:12]]
    other = [row.description for row, _ in orchard[12:]]
    copied = [row._replace(copies=(copy,)) for row, copy in zip(alone, other, strict=True)]
    twice = [row._replace(copies=(*row.copies, other[0])) for row in copied]
    descriptors = [row.description.descriptors for row in alone]

    def fitted(rows: list[Row], **given: Any) -> list[bytes]:
        return bits(fit_chain(rows, {**knobs, "copies": 0, "turns": False, **given}))

    plain = fitted(alone)
    assert plain == fitted(copied), "no copies are asked for"
    taught = fitted(copied, copies=1)
    assert taught == fitted(twice, copies=1)
    assert taught[:5] == plain[:5] and taught[5:] != plain[5:]
    assert taught[:7] == fitted(copied, copies=1, copy_weight=1.0)[:7] and taught != fitted(copied, copies=1, copy_weight=1.0)
    if knobs["extractor"] == "dense":
        turned = [
            row._replace(copies=tuple(row.description._replace(descriptors=dense.turned(each, quarters)) for quarters in (1, 3)))
            for row, each in zip(alone, descriptors, strict=True)
        ]
        assert plain != fitted(alone, turns=True) == fitted(turned, copies=2)
    else:
        assert plain == fitted(alone, turns=True), "what a detector found is not turned"


def test_an_answer_has_the_same_bits_alone_in_any_order_and_after_a_round_trip(chain: Chain, orchard: Orchard, tmp_path: Path) -> None:
    forwards = {row.content: chain.answer(data).tobytes() for row, data in orchard}
    chain.save(tmp_path)
    loaded = Chain.load(tmp_path)
    pickled = pickle.loads(pickle.dumps(chain))
    for row, data in reversed(orchard):
        assert chain.answer(data).tobytes() == forwards[row.content]
        assert loaded.answer(data).tobytes() == forwards[row.content]
        assert pickled.answer(data).tobytes() == forwards[row.content]


def test_a_saved_chain_holds_no_pickle(chain: Chain, tmp_path: Path) -> None:
    chain.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "encoder.npz",
        "familiarity.npz",
        "knobs.json",
        "model.npz",
        "vocabulary.npz",
    ]
    for path in tmp_path.glob("*.npz"):
        with np.load(path, allow_pickle=False) as archive:
            assert all(archive[name].dtype.kind in "fU" for name in archive)


def test_an_answer_is_a_probability_for_each_class(chain: Chain, orchard: Orchard) -> None:
    answer = chain.answer(orchard[0][1])
    assert (answer.shape, answer.dtype) == ((2,), np.float64)
    assert answer.sum() == pytest.approx(1)


def test_a_blank_picture_gets_an_answer_too(chain: Chain, saved: Any) -> None:
    assert np.isfinite(chain.answer(saved(np.full((64, 64, 3), 255, np.uint8), "PNG"))).all()


def test_a_picture_that_ingest_would_refuse_gets_no_answer(chain: Chain, saved: Any, blobs: Any) -> None:
    for data in (b"", b"text", saved(blobs(1))[:-40], saved(blobs(1, width=100, height=4))):
        with pytest.raises(BadImage):
            chain.answer(data)


def test_keypoints_are_told_in_pixels_of_the_reduced_picture(chain: Chain, saved: Any, blobs: Any) -> None:
    picture = blobs(1).repeat(8, axis=0).repeat(8, axis=1)
    side_px = int(chain.knobs["side_px"])
    assert max(picture.shape) > side_px
    (width, height), keypoints = chain.keypoints(saved(picture, "PNG"))
    assert max(width, height) == side_px and keypoints.shape[1] == 4 and len(keypoints) > 0
    assert (keypoints[:, 0] < width).all() and (keypoints[:, 1] < height).all() and (keypoints[:, :2] >= 0).all()
    with pytest.raises(BadImage):
        chain.keypoints(b"hello")


def test_too_few_descriptors_and_one_class_are_named(orchard: Orchard, knobs: dict[str, Any]) -> None:
    rows = [row for row, _ in orchard]
    with pytest.raises(TooFewDescriptors):
        fit_chain(rows[:2], {**knobs, "n_words": 5000})
    with pytest.raises(OneClass):
        fit_chain([row for row in rows if row.label == "plum"], knobs)


def test_cross_validation_predicts_every_row_from_a_chain_without_its_group(orchard: Orchard, knobs: dict[str, Any]) -> None:
    rows = [row for row, _ in orchard]
    # Asked besides: the picture before or behind, which is of the other label.
    neighbours = [rows[index ^ 1].description for index in range(len(rows))]
    validation = cross_validate(rows, knobs, also=[neighbours])
    assert (validation.n_folds, validation.why) == (3, "")
    right = [prediction == row.label for prediction, row in zip(validation.predictions, rows, strict=True)]
    assert sum(right) >= 22
    assert sum(prediction == row.label for prediction, row in zip(validation.also[0], rows, strict=True)) <= 2
    fits = [fit for fit in validation.fits if fit is not None]
    classes = ("apple", "plum")
    assert [classes[int(fit.probabilities.argmax())] for fit in fits] == list(validation.predictions)
    # A chain that was fitted on the image itself holds more of it.
    whole = fit_chain(rows, knobs)
    assert np.mean([fit.reconstruction for fit in fits]) > np.mean([whole.fit(row.description).reconstruction for row in rows])
    shuffled = np.random.default_rng(0).permutation(len(rows))
    again = cross_validate([rows[i] for i in shuffled], knobs)
    assert [again.predictions[list(shuffled).index(i)] for i in range(len(rows))] == list(validation.predictions)


def test_copies_in_one_group_do_not_help_to_predict_each_other(orchard: Orchard, knobs: dict[str, Any]) -> None:
    # Labels that mean nothing: two for apples, given to whole groups. Whoever has seen a copy knows the label, nobody else can.
    apples = [row for row, _ in orchard if row.label == "apple"][:8]
    copies = [
        row._replace(content=f"{number}-{copy}", label=("left", "right")[number % 2], group=f"picture {number}")
        for number, row in enumerate(apples)
        for copy in range(3)
    ]
    scores = []
    for rows in (copies, [row._replace(group=row.content) for row in copies]):
        predictions = cross_validate(rows, {**knobs, "regularisation": 1e5, "n_components": 24}).predictions
        scores.append(np.mean([prediction == row.label for prediction, row in zip(predictions, rows, strict=True)]))
    grouped, blind = scores
    assert grouped <= 0.75
    assert blind == 1


@pytest.mark.parametrize(("n_words", "asked", "drawn"), [(64, 1000, 500), (0, 1000, 800), (100, 256, 256), (20_000, 256, 1)])
def test_folds_learn_their_words_from_at_most_32000_descriptors(n_words: int, asked: int, drawn: int, monkeypatch: Any) -> None:
    given = resolve({"n_words": n_words, "descriptors_per_word": asked, "folds": 2})
    told: list[Mapping[str, Any]] = []

    def fit(rows: Any, knobs: Mapping[str, Any]) -> Chain:
        told.append(knobs)
        raise OneClass

    monkeypatch.setattr("pomona.vision.validate.fit_chain", fit)
    blank = Description(np.empty((0, 135), np.uint8), np.zeros(128, np.float32))
    cross_validate([Row(f"{group}", f"label {group % 4}", f"{group}", blank) for group in range(8)], given)
    assert told == [{**given, "descriptors_per_word": drawn, "kmeans_iterations": 8}]


def test_a_class_with_one_group_is_never_held_out_and_named(orchard: Orchard, knobs: dict[str, Any]) -> None:
    rows = [row if row.label == "apple" else row._replace(group="one") for row, _ in orchard]
    validation = cross_validate(rows, knobs)
    assert validation.why == "never held out, having one group only: plum"
    assert [prediction is None for prediction in validation.predictions] == [row.label == "plum" for row in rows]
    assert [fit is None for fit in validation.fits] == [row.label == "plum" for row in rows]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"folds": 0}, "folds=0"),
        ({"folds": 1}, "folds=1: too few"),
        ({"n_words": 4000}, "without fold 1 of 3: n_words=4000 but only"),
    ],
)
def test_what_allows_no_validation_says_why_and_does_not_raise(
    change: dict[str, Any], why: str, orchard: Orchard, knobs: dict[str, Any]
) -> None:
    validation = cross_validate([row for row, _ in orchard], {**knobs, **change})
    assert validation.why.startswith(why)
    assert validation.n_folds == 0
    assert set(validation.predictions) == set(validation.fits) == {None}


def test_no_rows_and_one_class_allow_no_validation(orchard: Orchard, knobs: dict[str, Any]) -> None:
    assert cross_validate([], knobs).n_folds == 0
    plums = cross_validate([row for row, _ in orchard if row.label == "plum"], knobs)
    assert plums.n_folds == 0
    assert "have the label 'plum'" in plums.why


def test_folds_keep_groups_whole_and_leave_each_class_something_to_learn_from() -> None:
    keys = [
        (label, f"{label}{number}")
        for label, n_groups in (("a", 7), ("b", 2), ("c", 3))
        for number in range(n_groups)
        for _ in range(5 + number)
    ]
    folds, why = folds_of(keys, 5)
    assert why == ""
    assert len({(key, fold) for key, fold in zip(keys, folds, strict=True)}) == 12
    assert set(folds) == {0, 1, 2, 3, 4}
    for fold in range(5):
        assert {label for (label, _), own in zip(keys, folds, strict=True) if own != fold} == {"a", "b", "c"}


def test_there_are_no_more_folds_than_groups_of_some_class() -> None:
    assert set(folds_of([("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("b", "3")], 10)[0]) == {0, 1, 2}
    assert folds_of([("a", "1"), ("b", "1")], 5) == ([None, None], "every class has one group only")
