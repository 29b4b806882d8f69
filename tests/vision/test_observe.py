"""What a picture looked like to a chain: the same answer, and figures of fit and light with values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

from pomona.vision.chain import Chain, fit_chain
from pomona.vision.corruptions import spoiled
from pomona.vision.decode import BadImage, decode
from pomona.vision.describe import Describer
from pomona.vision.encode import Encoding, vector
from pomona.vision.mixture import Mixture
from pomona.vision.observe import light, lost, shares, stacked
from pomona.vision.words import Preparation, Vocabulary, prepare

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def chain(orchard: list[tuple[Any, bytes]], knobs: dict[str, Any]) -> Chain:
    return fit_chain([row for row, _ in orchard], knobs)


def plain(blue: float, green: float, red: float, side: int = 40) -> Array:
    return np.full((side, side, 3), (blue, green, red), np.uint8)


def test_what_is_observed_holds_the_bits_of_the_answer(chain: Chain, orchard: list[tuple[Any, bytes]]) -> None:
    for _, data in orchard:
        assert chain.observed(data).probabilities.tobytes() == chain.answer(data).tobytes()


def test_seen_is_what_is_told_and_what_is_observed_of_one_description(
    chain: Chain, orchard: list[tuple[Any, bytes]], monkeypatch: Any
) -> None:
    described: list[int] = []
    once = Describer.seen
    monkeypatch.setattr(Describer, "seen", lambda self, image: described.append(1) or once(self, image))
    for _, data in orchard[:4]:
        told, observation = chain.told(data), chain.observed(data)
        described.clear()
        found = chain.seen(data)
        assert described == [1]
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(found.observation, observation, strict=True))
        assert (found.told.probabilities.tobytes(), found.told[1:]) == (told.probabilities.tobytes(), told[1:])


def test_what_is_told_alone_is_free_of_the_cost_of_light(
    chain: Chain, orchard: list[tuple[Any, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(image: Any) -> Any:
        raise AssertionError("the light is measured")

    monkeypatch.setattr("pomona.vision.chain.light", never)
    assert chain.told(orchard[0][1]).probabilities.sum() == pytest.approx(1)


def test_a_picture_that_gets_no_answer_is_not_observed(chain: Chain, saved: Any, blobs: Any) -> None:
    for data in (b"", b"text", saved(blobs(1))[:-40]):
        with pytest.raises(BadImage):
            chain.observed(data)


def test_words_are_shares_of_the_points_and_both_fits_lie_within_their_bounds(chain: Chain, orchard: list[tuple[Any, bytes]]) -> None:
    for _, data in orchard[:6]:
        seen = chain.observed(data)
        assert (seen.words.shape, seen.words.dtype) == ((len(chain.vocabulary.words),), np.float32)
        assert seen.words.sum() == pytest.approx(1)
        assert np.rint(seen.words * seen.n_keypoints) == pytest.approx(seen.words * seen.n_keypoints, abs=1e-3)
        assert seen.n_keypoints > 0
        assert seen.quantisation > 0
        assert 0 < seen.reconstruction < 1


def test_fit_is_what_is_left_over_by_definition(chain: Chain, orchard: list[tuple[Any, bytes]]) -> None:
    preparation, encoding = Preparation.of(chain.knobs), Encoding.of(chain.knobs)
    for row, data in orchard[:4]:
        seen = chain.observed(data)
        points = chain.vocabulary.points(prepare(row.description.descriptors, preparation))
        squares = [np.square(chain.vocabulary.words - point).sum(axis=1).min() for point in points]
        assert seen.quantisation == pytest.approx(np.mean(squares), rel=1e-4)
        centred = vector(row.description, chain.vocabulary, preparation, encoding) - chain.mean
        left_over = centred - chain.components.T @ (chain.components @ centred)
        assert seen.reconstruction == pytest.approx(np.square(left_over).sum() / np.square(centred).sum(), abs=1e-9)


def test_a_blank_picture_has_no_points_where_a_detector_looks_for_them_and_is_observed_all_the_same(chain: Chain, saved: Any) -> None:
    seen = chain.observed(saved(np.full((64, 64, 3), 255, np.uint8), "PNG"))
    if chain.knobs["extractor"] == "sift":
        assert (seen.n_keypoints, seen.quantisation, seen.words.any()) == (0, 0.0, False)
    assert all(np.isfinite(value).all() for value in seen)
    assert (seen.brightness, seen.cast) == (1.0, (0.0, 0.0))


def test_distances_to_the_nearest_words_are_those_of_a_hand_made_vocabulary() -> None:
    words = np.array([[0, 0], [3, 4]], np.float32)
    vocabulary = Vocabulary(
        np.zeros(2, np.float32), np.empty((0, 2), np.float32), Mixture(words, np.ones_like(words), np.ones(2, np.float32))
    )
    points = np.array([[0, 1], [3, 4], [3, 2], [1, 1]], np.float32)
    nearest, squares = vocabulary.quantised(points)
    assert nearest.tolist() == vocabulary.nearest(points).tolist() == [0, 1, 1, 0]
    assert squares == pytest.approx([1, 0, 4, 2], abs=1e-5)
    assert shares(nearest, 3).tolist() == [0.5, 0.5, 0.0]
    nobody, none = vocabulary.quantised(np.empty((0, 2), np.float32))
    assert (len(nobody), len(none), shares(nobody, 2).tolist()) == (0, 0, [0.0, 0.0])


def test_a_projection_loses_what_lies_off_its_axes() -> None:
    vector, mean = np.array([4.0, 6.0, 1.0]), np.array([1.0, 2.0, 1.0])
    # Three along the axis that is kept, four across it: 16 of 25.
    assert lost(vector, mean, np.array([3.0])) == pytest.approx(16 / 25)
    assert lost(vector, mean, np.array([3.0, 4.0])) == 0
    assert lost(mean, mean, np.array([0.0])) == 0


def test_brightness_is_the_mean_grey_and_cast_the_logarithm_of_the_channels_ratios() -> None:
    seen = light(plain(51, 102, 204))
    # Grey by ITU-R BT.601: .114 blue, .587 green, .299 red.
    assert seen.brightness == pytest.approx((0.114 * 51 + 0.587 * 102 + 0.299 * 204) / 255, abs=0.003)
    assert seen.cast == pytest.approx((math.log(2), -math.log(2)), abs=1e-6)
    assert light(plain(128, 128, 128)).cast == pytest.approx((0, 0), abs=1e-6)
    assert light(plain(0, 0, 0)).cast == (0, 0)


def test_the_cast_follows_the_light_and_not_its_strength(blobs: Any) -> None:
    for seed in range(5):
        image = blobs(seed)
        usual, warm, dark = (light(each).cast for each in (image, spoiled(image, "warm light", seed=0), spoiled(image, "darker", seed=0)))
        # Red is raised by 15 % where white leaves no room, blue lowered to 85 %.
        assert warm[1] - usual[1] == pytest.approx(math.log(0.85), abs=0.01)
        assert dark == pytest.approx(usual, abs=0.01)


def test_blur_grows_with_the_lens_and_stays_in_other_light_and_nearly_in_another_size(blobs: Any) -> None:
    for seed in range(5):
        image = blobs(seed, width=192, height=160)
        sharp = light(image).blur
        soft, softer = (light(cv2.GaussianBlur(image, (0, 0), sigma)).blur for sigma in (1.0, 2.0))
        assert sharp + 1 < soft < softer - 0.5
        assert light(spoiled(image, "darker", seed=0)).blur == pytest.approx(sharp, abs=0.05)
        half = cv2.resize(image, (96, 80), interpolation=cv2.INTER_AREA)
        assert light(half).blur == pytest.approx(sharp, abs=0.5)
        assert light(plain(200, 200, 200)).blur > softer


def test_stacked_observations_are_rows_in_their_order(chain: Chain, orchard: list[tuple[Any, bytes]]) -> None:
    each = [chain.observed(data) for _, data in orchard[:3]]
    table = stacked(each)
    assert (table.probabilities.shape, table.words.dtype, table.cast.shape) == ((3, 2), np.float32, (3, 2))
    assert table.blur.tolist() == [one.blur for one in each]
    last = table.rows(np.array([False, False, True]))
    assert last.and_those(table.rows(slice(0, 1))).cast.tolist() == [list(each[2].cast), list(each[0].cast)]


def test_a_picture_decoded_before_is_observed_the_same(chain: Chain, orchard: list[tuple[Any, bytes]]) -> None:
    data = orchard[0][1]
    image = decode(data, side_px=int(chain.knobs["side_px"]))
    for whole, decoded in zip(chain.observed(data), chain.observed_decoded(image), strict=True):
        assert np.array_equal(whole, decoded)
