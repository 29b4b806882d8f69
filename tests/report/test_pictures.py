"""The report's pictures, from drawn images with known answers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pomona.report.pictures import patch, thumbnail, with_keypoints, with_points, word_strips
from pomona.vision.describe import Describer, Extractor

EXTRACTOR = Extractor("sift", side_px=256, max_keypoints=500, contrast_threshold=0.01, edge_threshold=20)


def decoded(data: bytes) -> NDArray[np.uint8]:
    assert data.startswith(b"\xff\xd8\xff")
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)


def halves() -> NDArray[np.uint8]:
    """100 × 100, blue on the left, red on the right."""
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, :50, 0] = 255
    image[:, 50:, 2] = 255
    return image


def test_a_thumbnail_keeps_its_shape_and_is_never_enlarged() -> None:
    assert decoded(thumbnail(np.zeros((200, 400, 3), np.uint8), 96)).shape == (48, 96, 3)
    assert decoded(thumbnail(np.zeros((20, 10, 3), np.uint8), 96)).shape == (20, 10, 3)
    assert decoded(thumbnail(np.zeros((1, 4000, 3), np.uint8), 96)).shape == (1, 96, 3)


def test_keypoints_are_drawn_where_they_are_and_nowhere_else() -> None:
    keypoints = np.array([[25, 75, 10, 0]], np.float32)
    image = np.full((100, 100, 3), 255, np.uint8)
    drawn = decoded(with_keypoints(image, keypoints))
    assert drawn.shape == (360, 360, 3)
    marked = np.argwhere(drawn.min(axis=2) < 150)
    assert marked.mean(axis=0) == pytest.approx([75.5 * 3.6, 25.5 * 3.6], abs=3)
    assert np.ptp(marked, axis=0) == pytest.approx([36, 36], abs=5)
    assert decoded(with_keypoints(image, keypoints[:0])).min() > 240


def test_points_of_a_grid_are_dots_and_the_middle_one_has_its_window() -> None:
    image = np.full((60, 60, 3), 255, np.uint8)
    # The same point twice, as of two levels: 60 pixels become 360, six for one.
    keypoints = np.array([[9.5, 9.5, 12, 0], [49.5, 49.5, 12, 0], [29.5, 29.5, 12, 0], [9.5, 9.5, 12, 0], [49.5, 9.5, 12, 0]], np.float32)
    marked = decoded(with_points(image, keypoints)).min(axis=2) < 150
    assert marked.shape == (360, 360)
    for at in (60, 180, 300):
        assert marked[at - 1 : at + 2, at - 1 : at + 2].all()
    assert marked[40:80, 40:80].sum() < 60
    framed = np.argwhere(marked[100:260, 100:260]) + 100
    assert (framed.min(axis=0), framed.max(axis=0)) == (pytest.approx([144, 144], abs=3), pytest.approx([216, 216], abs=3))
    assert decoded(with_points(image, keypoints[:0])).min() > 240


def test_a_patch_is_the_window_of_the_keypoint_turned_by_its_angle() -> None:
    upright = patch(halves(), np.array([49.5, 49.5, 8, 0], np.float32), 32)
    assert upright.shape == (32, 32, 3)
    assert (upright[:, :14] == (255, 0, 0)).all()
    assert (upright[:, 18:] == (0, 0, 255)).all()
    # The keypoint points down: what lies below it comes to the right, what lies left of it comes down... so blue is below.
    turned = patch(halves(), np.array([49.5, 49.5, 8, 90], np.float32), 32)
    assert (turned[18:] == (255, 0, 0)).all()
    assert (turned[:14] == (0, 0, 255)).all()


def test_a_patch_covers_six_times_the_size() -> None:
    image = np.zeros((101, 101, 3), np.uint8)
    image[:, 50 + 22 :] = 255
    assert patch(image, np.array([50, 50, 8, 0], np.float32), 48)[:, -1].min() == 255
    assert patch(image, np.array([50, 50, 7, 0], np.float32), 48)[:, -1].max() == 0


def test_the_patches_of_a_word_are_as_wide_as_its_kind_of_descriptor_looks() -> None:
    """ORB's keypoint names its whole window: no patch of a small dark square on white reaches as far as white on all sides."""
    image = np.full((120, 120, 3), 255, np.uint8)
    cv2.rectangle(image, (50, 50), (70, 70), (0, 0, 0), -1)
    data = cv2.imencode(".png", image)[1].tobytes()
    strips = word_strips(
        [data] * 10,
        describer=Describer(Extractor("orb", side_px=120, max_keypoints=4)),
        to_words=lambda rows: np.zeros(len(rows), np.int64),
    )
    dark = (decoded(strips[0].jpeg)[:, :44] < 100).mean()
    # 31 pixels at a corner of the square hold a quarter of dark; six times that would hold a hundredth.
    assert dark > 0.15


def test_a_patch_beyond_the_edge_repeats_the_border() -> None:
    assert (patch(halves(), np.array([0, 0, 20, 0], np.float32), 16)[:4, :4] == (255, 0, 0)).all()


def test_word_strips_show_the_words_that_enough_pictures_have() -> None:
    random = np.random.default_rng(0)
    files = [
        cv2.imencode(".png", cv2.GaussianBlur(random.integers(0, 255, (96, 96, 3), np.uint8), (0, 0), 2))[1].tobytes() for _ in range(8)
    ]
    files.append(cv2.imencode(".png", np.full((64, 64, 3), 9, np.uint8))[1].tobytes())

    def by_row(descriptors: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Word 0 for all but one row, word 1 for that: eight patches at most, too few for a strip of ten."""
        return (np.arange(len(descriptors)) == 5).astype(np.int64)

    strips = word_strips(files, describer=Describer(EXTRACTOR), to_words=by_row, n_patches=10, side=20)
    assert [strip.word for strip in strips] == [0]
    assert strips[0].n_seen > 100
    assert decoded(strips[0].jpeg).shape == (20, 10 * 20 + 9 * 2, 3)
    both = word_strips(files, describer=Describer(EXTRACTOR), to_words=by_row, n_patches=8, side=20)
    assert [strip.word for strip in both] == [0, 1]
    assert [strip.word for strip in word_strips(files, describer=Describer(EXTRACTOR), to_words=by_row, n_patches=8, n_shown=1)] == [0]
