"""The cost model: against the prototype's published figures, against sums by hand, and the page that is written of it."""

from __future__ import annotations

import pytest

from bench import cost_model
from bench.cost_model import Case, foretold_test, prototype_usd, requests, requests_usd, seconds, sizes
from bench.scaling_page import PAGE, limits, written
from pomona.cost import stage_usd
from tests.test_cost import emr


def test_the_prototypes_test_images_on_four_nodes_are_foretold_within_two_percent() -> None:
    # 61.59 × 187.22 / 186.44, and so on: 109.49 against the published 108.08 s.
    assert foretold_test("descriptors") == pytest.approx(61.85, abs=0.01)
    assert foretold_test("predict") == pytest.approx(5.73, abs=0.01)
    foretold = sum(map(foretold_test, cost_model.TEST))
    published = sum(four for _, four in cost_model.TEST.values())
    assert published == pytest.approx(108.08)
    assert foretold == pytest.approx(published, rel=0.02)


def test_the_prototypes_operations_add_up_to_what_was_published() -> None:
    for nodes, total in enumerate(cost_model.PUBLISHED_TOTAL):
        assert sum(each[nodes] for table in (cost_model.TRAIN, cost_model.TEST) for each in table.values()) == pytest.approx(
            total, abs=0.05
        )


def test_twice_the_nodes_cost_the_prototype_45_percent_more_as_our_own_estimate_says() -> None:
    small, large = (prototype_usd(nodes, total) for nodes, total in zip((2, 4), cost_model.PUBLISHED_TOTAL, strict=True))
    assert (round(small, 4), round(large, 4)) == (0.1152, 0.1670)
    assert large / small == pytest.approx(1.45, abs=0.005)
    assert small == pytest.approx(stage_usd(emr("10:00:00", "10:10:00", 576.19)))


def test_files_and_requests_of_a_million_are_those_worked_out_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"image_bytes": 5_000, "copies": 1, "described_bytes": 40_000, "rows": 3, "feature_bytes": 2_000}.items():
        monkeypatch.setitem(cost_model.RATES, name, cost_model.Rate(value, "", "", ""))
    found = sizes(1_000_000)
    # 5 GB and 80 GB in parts of 33,554,432 bytes.
    assert (found["image_parts"], found["descriptor_parts"]) == (150, 2385)
    asked = requests(Case(1_000_000, 10_000, 4))
    # A hundredth is new: 2 parts of images, 24 of descriptors; 32 row groups a part; 179 files of features.
    assert asked["list"] == 2000
    assert asked["get"] == pytest.approx(10_000 + 2 * 32 + 6 * 2385 * 32)
    assert asked["put"] == pytest.approx(2 + 24 + 6e9 / 33_554_432 + 40)
    assert requests_usd({"list": 1000, "put": 1000, "get": 10_000}) == pytest.approx(0.014)


def test_more_nodes_shorten_tasks_alone_and_the_changed_design_shortens_all() -> None:
    few, many = (seconds(Case(10**6, 10**6, nodes)) for nodes in (4, 16))
    driver = seconds(Case(10**6, 10**6, 10**9))
    for stage, took in few.items():
        assert took - driver[stage] == pytest.approx(4 * (many[stage] - driver[stage]), abs=0.01)
    changed = seconds(Case(10**6, 10**6, 10**9, changed=True))
    assert changed == pytest.approx(dict.fromkeys(changed, cost_model.value("start_s")), abs=0.01)


def test_limits_come_in_the_order_in_which_they_are_met() -> None:
    found = [limit.images for limit in limits()]
    assert found == sorted(found)
    assert found[0] < 10**6 < found[-1]


def test_the_page_has_the_tables_as_they_are_made_now() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert written(text) == text, "run python -m bench.cost_model"


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="<!-- rates -->"):
        written("nothing here")
