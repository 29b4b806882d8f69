"""What a chain says of classes that it was not fitted on: discs of one hue a class, three drawings a group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pomona.vision.chain import Chain, Row, fit_chain
from pomona.vision.describe import Describer, Extractor
from pomona.vision.outsiders import outsiders
from pomona.vision.unknown import Familiarity
from pomona.vision.validate import cross_validate

HUES = {"apple": 0, "kiwi": 45, "plum": 90, "sloe": 135}
STRANGE = 22


@pytest.fixture(scope="module")
def rows(blobs: Any, knobs: dict[str, Any]) -> list[Row]:
    """Four classes of four groups of three pictures."""
    describer = Describer(Extractor.of(knobs))
    drawn = ((label, group, place) for label in HUES for group in range(4) for place in range(3))
    found = []
    for number, (label, group, _) in enumerate(drawn):
        image = np.ascontiguousarray(blobs(number, hue=HUES[label])[:, :, ::-1])
        found.append(Row(f"{number:03d}", label, f"group {group}", describer.seen(image)))
    return found


@pytest.fixture(scope="module")
def chain(rows: list[Row], knobs: dict[str, Any]) -> Chain:
    """Fitted on all of them, with its rule."""
    fitted, told = fit_chain(rows, knobs), outsiders(rows, knobs, cross_validate(rows, knobs).signs)
    assert fitted.familiarity is not None
    return replace(fitted, familiarity=Familiarity(fitted.familiarity.known, told.rule))


def test_classes_left_out_look_stranger_than_groups_left_out(rows: list[Row], knobs: dict[str, Any]) -> None:
    told = outsiders(rows, knobs, cross_validate(rows, knobs).signs)
    assert told.rule is not None and told.separation is not None and told.marked_known is not None
    assert told.separation > 0.8
    assert told.marked_known < 0.25
    assert (told.n_known, told.n_unknown, told.why) == (48, 48, "")


def test_with_two_classes_there_is_a_rule_and_none_to_try_it_on(rows: list[Row], knobs: dict[str, Any]) -> None:
    two = [row for row in rows if row.label in ("apple", "plum")]
    told = outsiders(two, knobs, cross_validate(two, knobs).signs)
    assert told.rule is not None
    assert (told.marked_unknown, told.separation, told.why) == (None, None, "of 2 classes none can be left out")


def test_three_classes_of_two_groups_are_left_out_one_by_one(rows: list[Row], knobs: dict[str, Any]) -> None:
    few = [row for row in rows if row.label != "sloe" and row.group in ("group 0", "group 1")]
    told = outsiders(few, knobs, cross_validate(few, knobs).signs)
    assert (told.n_known, told.n_unknown, told.why) == (18, 18, "")


def test_without_a_picture_held_out_there_is_no_rule(rows: list[Row], knobs: dict[str, Any]) -> None:
    told = outsiders(rows, knobs, np.full((len(rows), 3), np.nan))
    assert (told.rule, told.why) == (None, "no picture was held out of training")


def test_a_hue_never_seen_is_more_novel_than_those_seen(chain: Chain, blobs: Any, saved: Any) -> None:
    def usual(hue: int, first_seed: int) -> float:
        return float(np.median([chain.told(saved(blobs(first_seed + number, hue=hue), "PNG")).novelty for number in range(6)]))

    assert max(usual(hue, 500) for hue in HUES.values()) < usual(STRANGE, 600)


def test_what_is_told_has_the_answers_bits_and_a_mark_above_one(chain: Chain, blobs: Any, saved: Any) -> None:
    data = saved(blobs(700, hue=STRANGE), "PNG")
    told = chain.told(data)
    assert told.probabilities.tobytes() == chain.answer(data).tobytes()
    assert told.novelty is not None and told.unknown == (told.novelty > 1)


def test_a_chain_without_a_rule_says_that_it_cannot_tell(chain: Chain, blobs: Any, saved: Any) -> None:
    data = saved(blobs(700, hue=STRANGE), "PNG")
    assert chain.familiarity is not None
    for familiarity in (None, Familiarity(chain.familiarity.known)):
        assert replace(chain, familiarity=familiarity).told(data)[1:] == (None, None)


def test_a_saved_chain_tells_the_same(chain: Chain, blobs: Any, saved: Any, tmp_path: Any) -> None:
    chain.save(tmp_path)
    data = saved(blobs(700, hue=STRANGE), "PNG")
    assert Chain.load(tmp_path).told(data).novelty == chain.told(data).novelty
