"""What the report says of its own scores: from documents of the contract, and from none."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest

from pomona.report.charts import contest_bar, reliability_chart, score_chart
from pomona.report.contents import Score
from pomona.report.evidence import Bin, Evidence, Picture, contents, evidence
from pomona.report.page import every_score, render
from pomona.report.pictures import thumbnail
from pomona.scoring import scores
from tests.report.documents import metrics, verdict
from tests.report.test_report import NASTY, PIXEL, Page, report

CONTENTS = [f"{i:064x}" for i in range(6)]
NOTHING = {"official": {}, "group_safe": {}, "validation": {}}


def picture(content: str) -> Picture | None:
    """Every content has a picture but the last."""
    return Picture(PIXEL, f"Test/{int(content, 16)}.jpg") if content in CONTENTS[:-1] else None


def told(
    *, whole: bool = True, documents: tuple[dict[str, Any], dict[str, Any]] | None = None, **changes: object
) -> tuple[Evidence, str, str]:
    """The evidence, the page's HTML and the text that it shows."""
    given = documents or ((metrics(CONTENTS[:5], NOTHING), verdict(CONTENTS)) if whole else (NOTHING, {}))
    found = evidence(*given, picture=picture)
    html = render(report(evidence=found, **changes))
    return found, html, " ".join(Page(html).text.split())


def test_every_part_of_the_documents_is_told() -> None:
    _, _, text = told()
    for words in (
        "4 test images have an exact copy in train; 9 training copies were taken out. Without them: accuracy 87.5 %, "
        "95 %: 75.0 % to 95.0 %, on 16 images in 4 groups.",
        "10 test images have a near copy in train (at most 3 of 64 bits of a picture's fingerprint differ). Without them: accuracy 80.0 %",
        "Exact copies · 2 of 4, one picture and its names on both sides",
        "1 training copytest Test/0.jpgtrain Training/a.jpg",
        "6 training copiestest Test/4.jpgtrain Training/b.jpgtrain Training/c.jpgtrain Training/d.jpgtrain Training/e.jpgand 2 more",
        "3 pairs, test on the left, train on the right",
        "3 bitsTest/0.jpgTest/4.jpg",
        "without exact copies: official, less the test images that have one in train 87.5 %75.0 % to 95.0 %",
        "The same 40 test images in 9 groups, spoiled in each way",
        "nothing as they are 90.0 %80.0 % to 95.0 % –",
        "blur σ 2 px 85.0 %75.0 % to 90.0 %",
        "darker brightness × 0.7 worst 45.0 %35.0 % to 50.0 % −45.0",
        "On average the probability is 7.0 % away from how often it is right; log loss 0.321, Brier score 0.123",
        "90.0 % to 100.0 %2095.0 %100.0 %",
        "against all, points colour histogram70.0 %60.0 % to 80.0 %−15.3",
        "round 3is apple; 25.0 % of 8 images righttaken for plum 5×, pear 1×",
        "The new model is right on 90 of 100 pictures, the old one on 75.",
        "not inferior: met, and it decided",
        "floor: not met",
        "20 test images in 5 groups that neither was trained on",
        "is right on 35.0 % of the test images, a plain colour histogram on 62.0 %",
        "apple75.0 %100.0 %+25.00.125123",
        "plum–75.0 %––82",
        "Only the challenger is right · 4 of 4",
        "Only the champion is right · 1 of 1",
    ):
        assert words in text, words


def test_a_run_without_these_documents_says_of_each_why_there_is_nothing() -> None:
    found, html, text = told(whole=False, champion=6)
    assert [name for name, value in vars(found).items() if value not in (None, "", 0, (), [])] == []
    for words in (
        "This run's metrics say nothing of copies",
        "Spoiled pictures Not measured.",
        "Not measured: without test images, nobody can say how often a probability is right.",
        "What each part adds Not measured in this run",
        "This run's metrics do not look at groups.",
        "The two models were not compared image by image.",
    ):
        assert words in text, words
    assert Page(html).open == []
    assert "There was no champion to compare with." in told(whole=False)[2]
    assert "None: no group has a mistake." in told(whole=False, mistakes=[], n_mistakes=0)[2]


def test_a_reason_for_no_robustness_is_told() -> None:
    document = NOTHING | {"robustness": {"rows": [], "why": "the knob robustness_images is 0"}}
    assert "Not measured: the knob robustness_images is 0." in told(documents=(document, {}))[2]


def test_what_is_not_known_is_a_dash_and_no_fault() -> None:
    found, given = metrics(CONTENTS[:5], NOTHING), verdict(CONTENTS)
    nothing = {"accuracy": None, "accuracy_interval": [None, None], "macro_f1": None, "n_images": 0, "n_groups": 0}
    found["leakage"]["near"]["without"] = nothing
    found["leakage"]["exact"] |= {"n_test": 0, "n_removed": 0, "without": nothing}
    found["calibration"] |= {"expected_error": None, "log_loss": None, "brier": None}
    for row in found["robustness"]["rows"]:
        row["interval"] = [None, None]
    given |= {"champion": None, "figures": {"n_images": 20}, "baselines": {"majority": 0.35, "histogram": None}}
    _, _, text = told(documents=(found, given))
    assert "0 test images have an exact copy in train." in text
    assert "Without them: no test image is left, so there is no score." in text
    assert "every test image has one" in text
    assert "On average the probability is – away from how often it is right." in text
    assert "blur σ 2 px 85.0 %no interval" in text
    assert "a plain colour histogram on – (not known)" in text
    assert "There was no champion to compare with." in text


def test_what_the_model_does_not_know_is_told_with_its_error_or_why_not() -> None:
    _, _, text = told()
    assert "Of classes that were left out of training on purpose it marks 60.0 % (600 pictures)" in text
    assert "in groups that it never saw, it marks 6.0 % by mistake (1,500 pictures)" in text
    found = metrics(CONTENTS[:5], NOTHING)
    found["validation"]["unknown"] = {"marked_unknown": None, "why": "of 2 classes none can be left out"}
    assert "Not measured: of 2 classes none can be left out." in told(documents=(found, {}))[2]


def test_copies_of_one_image_and_one_pair_are_told_in_the_singular() -> None:
    found = metrics(CONTENTS[:5], NOTHING)
    found["leakage"]["exact"] |= {"n_test": 1, "n_removed": 1}
    found["leakage"]["near"]["pairs"][1:] = []
    _, _, text = told(documents=(found, {}))
    assert "1 test image has an exact copy in train; 1 training copy was taken out." in text
    assert "· 1 pair, test" in text


def test_scores_without_copies_stand_behind_the_official_one_and_only_where_there_are_copies() -> None:
    titles = [score.title.split(":")[0] for score in every_score(report(evidence=told()[0]))]
    assert titles == ["official split", "without exact copies", "without near copies", "group-safe"]
    clean = metrics(CONTENTS[:5], NOTHING)
    for kind in ("exact", "near"):
        clean["leakage"][kind]["n_test"] = 0
    titles = [score.title for score in every_score(report(evidence=evidence(clean, {}, picture=picture)))]
    assert titles == ["official split", "group-safe"]


def test_a_pair_is_shown_when_both_pictures_are_there() -> None:
    found = metrics(CONTENTS[:5], NOTHING)
    found["leakage"]["near"]["pairs"].append({"test": CONTENTS[1], "train": CONTENTS[-1], "distance": 2})
    shown, html, _ = told(documents=(found, {}))
    assert [(pair.test.caption, pair.train.caption, pair.distance) for pair in shown.pairs] == [
        ("Test/0.jpg", "Test/4.jpg", distance) for distance in (0, 1, 3)
    ]
    assert html.count('alt="training image Test/4.jpg"') == 3
    assert html.count('alt="test image Test/0.jpg"') == 3 + 1


def test_an_exact_copy_is_shown_once_when_its_picture_is_there() -> None:
    found = metrics(CONTENTS[:5], NOTHING)
    found["leakage"]["exact"]["copies"].append({"test": CONTENTS[-1], "train": ["Training/f.jpg"], "n_train": 1})
    shown, html, _ = told(documents=(found, {}))
    assert [(copy.test.caption, len(copy.train), copy.n_train) for copy in shown.same] == [("Test/0.jpg", 1, 1), ("Test/4.jpg", 4, 6)]
    assert html.count('class="pair"') == 2 + len(shown.pairs)
    del found["leakage"]["exact"]["copies"]
    shown, html, text = told(documents=(found, {}))
    assert shown.same == []
    assert html.count('class="pair"') == len(shown.pairs) == 3
    assert "This run keeps no list of its exact copies." in text


def test_labels_and_names_in_the_evidence_are_escaped() -> None:
    found, given = metrics(CONTENTS[:5], NOTHING), verdict(CONTENTS)
    found["worst_groups"][0] |= {"group": NASTY, "label": NASTY, "taken_for": {NASTY: 2}}
    found["leakage"]["exact"]["copies"][0]["train"] = [NASTY]
    found["validation"]["ablation"][0]["without"] = NASTY
    found["robustness"]["rows"][1] |= {"name": NASTY, "strength": NASTY}
    given["per_class"][0]["label"] = NASTY
    given["checks"][0] |= {"check": NASTY, "line": NASTY}
    given |= {"words": NASTY, "rule": NASTY}
    shown = evidence(found, given, picture=lambda content: Picture(PIXEL, NASTY + '" onload="alert(1)'))
    html = render(report(evidence=shown))
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert NASTY not in html
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.open == []


def test_charts_have_words_for_who_cannot_see_them_and_tables_with_the_same_figures() -> None:
    _, html, _ = told()
    charts = [attributes for tag, attributes in Page(html).tags if tag == "svg" and attributes.get("role") == "img"]
    spoken = [attributes["aria-label"] or "" for attributes in charts]
    assert [words.split(".")[0].split(":")[0] for words in spoken] == [
        "Accuracy",
        "Of 20 images",
        "Share of right answers by the model's own probability",
    ]
    assert "without near copies 80.0\u00a0%, 95 %: 60.0\u00a0% to 90.0\u00a0%" in spoken[0]
    assert "only the challenger is right 4" in spoken[1]
    assert "at 55.0\u00a0% 40.0\u00a0% are right, of 5 images" in spoken[2]


def test_scores_stand_where_the_scale_says() -> None:
    chart = score_chart(
        [
            Score("official: all", 0.9, (0.8, 1.0), 0.9, (None, None), 20, 5),
            Score("group-safe: some", None, (None, None), None, (None, None), 0, 0),
            Score("cross-validated", 0.6, (None, None), 0.5, (None, None), 1200, 30),
        ]
    )
    assert chart is not None
    # From 60 % at 8 to 100 % at 332: 81 units for ten per cent.
    assert [(tick.at, tick.text) for tick in chart.ticks] == [(8, "60 %"), (89, "70 %"), (170, "80 %"), (251, "90 %"), (332, "100 %")]
    assert [(mark.title, mark.low, mark.at, mark.high) for mark in chart.marks] == [
        ("official: 20 images, 5 groups", 170, 251, 332),
        ("cross-validated: 1,200 images, 30 groups", None, 8, None),
    ]
    assert chart.marks[1].y > chart.marks[0].y


@pytest.mark.parametrize(("accuracy", "first"), [(1.0, "80 %"), (0.95, "80 %"), (0.7, "70 %"), (0.3, "40 %"), (0.0, "0 %")])
def test_the_scale_of_scores_begins_near_the_lowest(accuracy: float, first: str) -> None:
    chart = score_chart([Score("official", accuracy, (None, None), None, (None, None), 3, 3)])
    assert chart is not None
    assert chart.ticks[0].text == first
    assert 8 <= chart.marks[0].at <= 332


def test_reliability_stands_where_its_bins_say() -> None:
    chart = reliability_chart([Bin(0.4, 0.5, 0, None, None), Bin(0.5, 0.6, 25, 0.5, 1.0), Bin(0.9, 1.0, 100, 1.0, 0.5)])
    assert chart is not None
    assert (chart.left, chart.top, chart.side) == (34, 10, 260)
    assert [(point.x, point.y) for point in chart.points] == [(34 + 130, 10), (34 + 260, 10 + 130)]
    assert chart.points[1].radius == 2 * chart.points[0].radius
    assert chart.points[1].bar_height == 4 * chart.points[0].bar_height
    assert [point.n_images for point in chart.points] == ["25", "100"]
    assert reliability_chart([Bin(0.4, 0.5, 0, None, None)]) is None


def test_the_contest_counts_each_image_once() -> None:
    bar = contest_bar(verdict(CONTENTS)["figures"])
    assert bar is not None
    assert [(part.kind, part.n_images) for part in bar.parts] == [("champion", 1), ("both", 14), ("challenger", 4), ("neither", 1)]
    # 324 units for 20 images, from 8: the champion's bracket spans its 15, the challenger's 18 begin one image later.
    assert [part.x for part in bar.parts] == [8, 24.2, 251, 315.8]
    assert (bar.champion, bar.challenger) == ("M8.0 26V20H251.0V26", "M24.2 50V56H315.8V50")
    assert contest_bar({"n_images": 20}) is None
    assert contest_bar(None) is None


def test_a_class_has_its_recall_with_interval_and_groups() -> None:
    official = scores(["apple"] * 4 + ["plum"] * 2, ["apple"] * 3 + ["plum"] * 3, ["apple", "plum"])
    official["per_class"]["apple"] |= {"recall_interval": [0.5, 1.0], "groups": 3}
    official["per_class"]["plum"] |= {"recall_interval": [None, None], "groups": 1}
    text = told(official=official)[2]
    assert "apple75.0 %50.0 % to 100.0 % 100.0 %0.85743" in text
    assert "plum100.0 %no interval 66.7 %0.80021" in text


def test_the_page_stays_small_however_much_there_is_to_show() -> None:
    noise = cv2.imencode(".png", np.random.default_rng(1).integers(0, 256, (300, 400, 3), np.uint8))[1].tobytes()
    small = thumbnail(np.asarray(cv2.imdecode(np.frombuffer(noise, np.uint8), cv2.IMREAD_COLOR), np.uint8), 100)
    shown = [f"{i:064x}" for i in range(300)]
    found, given = metrics(shown, NOTHING), verdict(shown)
    found["leakage"]["near"]["pairs"] *= 40
    found["leakage"]["exact"]["copies"] *= 40
    found["worst_groups"] = [found["worst_groups"][0] | {"contents": shown[:9]} for _ in range(30)]
    given["examples"] = {"only_challenger": shown, "only_champion": shown}
    everything = evidence(found, given, picture=lambda content: Picture(small, "Test/noise.jpg"))
    assert (len(everything.same), len(everything.pairs), len(everything.groups), len(everything.groups[0].images)) == (50, 50, 12, 4)
    assert (len(everything.only_challenger), len(everything.only_champion)) == (12, 12)
    bare = len(render(report(evidence=dataclasses.replace(everything, same=(), pairs=(), groups=(), only_challenger=(), only_champion=()))))
    # 222 pictures of noise, which nothing packs worse than, at most 100 pixels wide.
    assert len(render(report(evidence=everything))) - bare < 3_200_000


def test_the_pictures_asked_for_are_those_that_are_shown() -> None:
    many = [f"{i:064x}" for i in range(300)]
    found, given = metrics(many[:2], NOTHING), verdict(many)
    pairs = [{"test": many[2 * i], "train": many[2 * i + 1], "distance": 1} for i in range(80)]
    found["leakage"]["near"]["pairs"] = pairs
    found["leakage"]["exact"]["copies"] = [{"test": f"same {i}", "train": [], "n_train": 1} for i in range(80)]
    found["worst_groups"][0]["contents"] = [f"group {i}" for i in range(9)]
    given["examples"] = {"only_challenger": [f"new {i}" for i in range(20)], "only_champion": ["old 0"]}
    assert contents(found, given) == {
        *many[:100],
        *(f"same {i}" for i in range(50)),
        *(f"group {i}" for i in range(4)),
        *(f"new {i}" for i in range(12)),
        "old 0",
    }
    assert contents(NOTHING, {}) == set()
