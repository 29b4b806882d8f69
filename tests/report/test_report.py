"""The report: complete, escaped, without requests, and readable from a zip."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import zipfile
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

import pytest

import pomona
from pomona.command import Place
from pomona.cost import Cost
from pomona.knobs import resolve
from pomona.report import formats
from pomona.report.assembly import agreed, notices, warnings
from pomona.report.contents import Effort, Listing, Mistake, Report, Score, Timing, samples_per_label
from pomona.report.evidence import Picture
from pomona.report.formats import size
from pomona.report.page import balance, headline, most_confused, render
from pomona.scaling import scaling
from pomona.scoring import scores
from pomona.standing import Standing
from pomona.summary import Facts
from tests.report.documents import effort

NASTY = "<script>alert(1)</script>"
PIXEL = b"\x89PNG\r\n\x1a\n-pixel"
COUNTS = {
    "listed": 112, "ignored": 2, "in": 110, "rejected": 3, "duplicate": 4, "leaked": 1, "conflict": 2, "unselected": 1,
    "untold": 0, "relabelled": 0, "added": 0, "kept": 100, "train": 80, "test": 20, "groups": 9, "gone": 5,
}  # fmt: skip


def report(classes: tuple[str, ...] = ("apple", NASTY), **changes: object) -> Report:
    """A whole report over the classes; each class's first test image is taken for the next class."""
    labels = [name for name in classes for _ in range(3)]
    predictions = [classes[(i + 1) % len(classes)] if j == 0 else name for i, name in enumerate(classes) for j in range(3)]
    given = Report(
        name="orchard",
        run="run-1",
        ended="2024-05-01 10:00:00 UTC",
        version=7,
        decision="promote",
        reason="the first model",
        champion=None,
        standing=Standing(moved=True, promoted="2024-05-01 09:59:58 UTC", champion=7),
        counts=COUNTS,
        images_per_label={name: {"train": 4, "test": 3} for name in classes},
        scores=[
            Score("official split", 0.934, (0.9, 0.97), 0.921, (0.88, 0.96), 20, 5),
            Score("group-safe", None, (None, None), None, (None, None), 0, 0, "every test image's group is in train too"),
        ],
        official=scores(labels, predictions, classes),
        timings=[Timing("describe", 3725.4, 100), Timing("register", 0.6)],
        knobs=resolve({"n_words": 77}),
        hashes={"vocabulary": "ab" * 32},
        samples={name: [PIXEL] for name in classes},
        keypoints=[Picture(PIXEL, f"{NASTY}: 7 keypoints")],
        words=[Picture(PIXEL, "word 5")],
        mistakes=[Mistake(PIXEL, "Test/'q\" 🍏\n/1.jpg", NASTY, "apple", 0.81)],
        n_mistakes=1,
        notices={"Rejected": Listing([(f"Training/\"x' {NASTY}/{i}.jpg", "cut off") for i in range(150)], 791), "Ignored": Listing()},
    )
    return dataclasses.replace(given, **changes)  # type: ignore[arg-type]


class Page(HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("n_classes", [2, 16, 17, 100])
def test_labels_and_names_are_escaped_everywhere(n_classes: int) -> None:
    classes = (NASTY, '" onload="alert(1)', "it's", "🍏\u202egpj", *(f"c{i}" for i in range(n_classes)))[: max(n_classes, 4)]
    html = render(report(classes, name=NASTY, run=NASTY, reason=NASTY, warnings=[NASTY], links={NASTY: NASTY}, vocabulary={NASTY: NASTY}))
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert NASTY not in html
    assert "alert(1)" in page.text
    assert "\u202e" not in html
    assert "\\u202egpj" in html
    assert page.open == []


def test_a_newline_in_a_file_name_is_shown() -> None:
    assert "Test/'q\" 🍏\\n/1.jpg" in Page(render(report())).text


def test_the_page_asks_nothing_of_the_network() -> None:
    html = render(report())
    page = Page(html)
    addresses = [
        value or "" for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href", "srcset", "action")
    ]
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert not {tag for tag, _ in page.tags} & {"link", "script", "iframe", "object", "embed", "base"}
    assert not re.search(r"https?://|//[a-z]|@import|url\(", re.sub(r'"data:[^"]*"', "", html))
    policy = next(attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_anchors_of_the_navigation_exist() -> None:
    page = Page(render(report()))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {attributes["href"] for tag, attributes in page.tags if tag == "a"} == {f"#{name}" for name in ids}


def test_scores_show_their_interval_and_both_counts_or_why_there_are_none() -> None:
    text = " ".join(Page(render(report())).text.split())
    assert "official split 93.4 %90.0 % to 97.0 % 0.9210.880 to 0.960 205" in text
    assert "group-safeevery test image's group is in train too" in text


def test_timings_are_one_row_an_operation_and_a_total() -> None:
    text = " ".join(Page(render(report())).text.split())
    assert "describe01:02:053,725.401000.03" in text
    assert "register00:00:010.60––" in text
    assert "total01:02:063,726.00" in text


def test_the_cost_stands_beside_the_timing_with_what_it_leaves_out() -> None:
    cost = Cost({"describe": 1.2, "register": None}, 0.06, 0.0225, [f"No price is known for {NASTY}."])
    timings = [Timing("describe", 3725.4, 100, 1.2), Timing("register", 0.6, None, None)]
    html = render(report(cost=cost, timings=timings))
    text = " ".join(Page(html).text.split())
    assert "describe01:02:053,725.401000.03$1.20" in text
    assert "register00:00:010.60––– the cluster while it started$0.0600 the cluster between stages$0.0225" in text
    assert "total01:02:063,726.00$1.28 and more" in text
    assert "about $1.28 on AWS" in text
    assert "No price is known for <script>" in text
    assert NASTY not in html


def test_what_does_not_scale_is_named_beside_its_figures() -> None:
    cut = effort(seconds=186.44, cores=8, cpu_s=372.88, stages=[(0.2, 186.44, 2, 186.0, 186.2)], records=876)
    alone = effort(seconds=4, cores=None, cpu_s=4, records=None)
    rows = [
        Effort(scaling(stage, told), told["records"], told["read_bytes"], told["written_bytes"], told["start_s"])
        for stage, told in (("describe", cut), ("register", alone))
    ]
    text = " ".join(Page(render(report(efforts=rows))).text.split())
    assert "Not scaling: describe, register, 100 % of the time" in text
    assert "does not scale: it has 2 tasks for 8 cores 186.44.7 2.0 of 8 2 1.00 × 34.6 MB812 B 1.00 ×" in text
    assert "works on the driver alone 4.0– 1.0 – – 34.6 MB812 B 1.00 ×" in text
    assert "Starting Spark, 5.0 s for all operations" in text


def test_a_straggler_is_marked_and_even_tasks_are_not() -> None:
    def marked(longest: float) -> bool:
        told = effort(seconds=20, cores=2, stages=[(0, 20, 8, 4.0, longest)])
        html = render(report(efforts=[Effort(scaling("encode", told), None, 0, 0, None)]))
        return f'class="no">{longest / 4:.2f}' in html

    assert (marked(6.0), marked(6.2)) == (False, True)


def test_a_run_whose_stages_told_nothing_says_so() -> None:
    assert "the stages of this run did not tell what they used" in Page(render(report())).text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_400, "999 kB"),
        (999_600, "1.0 MB"),
        (34_567_890, "34.6 MB"),
        (5e14, "500 TB"),
    ],
)
def test_sizes_have_about_three_figures(n_bytes: int | None, text: str) -> None:
    assert size(n_bytes) == text.replace(" ", "\u00a0")


def test_a_run_on_this_machine_shows_no_cost() -> None:
    text = Page(render(report())).text
    assert "cost" not in text.lower()


def test_a_long_list_is_cut_and_says_how_many_more() -> None:
    page = Page(render(report()))
    assert page.text.count("cut off") == 100
    assert "and 691 more" in page.text
    assert "Ignored: none." in page.text


def test_knobs_that_differ_from_the_default_are_marked() -> None:
    html = render(report())
    assert re.findall(r'<code>(\w+)</code></th><td class="name changed">([^<]*)<', html) == [("n_words", "77")]


def test_counts_that_do_not_add_up_are_told() -> None:
    assert balance(COUNTS) == ""
    wrong = COUNTS | {"rejected": 2}
    assert balance(wrong) == "in is 110, but kept + rejected + duplicate + conflict + unselected + untold is 109"
    assert "The counts do not add up" in Page(render(report(counts=wrong))).text
    assert "The counts do not add up" not in Page(render(report())).text


HELD = "promotion is held since the rollback to version 6 by ann on 2026-11-17 14:00:05 UTC: release with `make release`"


@pytest.mark.parametrize(
    ("standing", "changes", "words", "after"),
    [
        (Standing(True, "", "noon", 7), {}, "Promoted: version 7 became the champion", "It became the champion at noon."),
        (Standing(True, champion=7), {}, "Promoted: version 7 became the champion", "It was the champion already."),
        (
            Standing(False, HELD, "", 6),
            {"champion": 6},
            "Fit for promotion, but not promoted: version 6 stays the champion",
            f"It did not become the champion: {HELD.replace('`', '')}.",
        ),
        (
            Standing(False, "not approved by ann on Monday"),
            {},
            "Fit for promotion, but not promoted: there is no champion",
            "It did not become the champion: not approved by ann on Monday.",
        ),
        (
            Standing(False, "the champion is version 8 now", "noon", 8),
            {"champion": 6},
            "Promoted, but replaced since: version 7 is not the champion any more",
            "It became the champion at noon, but is not any more: the champion is version 8 now.",
        ),
        (Standing(False, "worse", "", 6), {"decision": "keep", "champion": 6}, "Kept back: version 6 stays the champion", ""),
        (Standing(False, "worse", "", 8), {"decision": "keep", "champion": 6}, "Kept back: version 8 is the champion", ""),
        (Standing(False, "worse"), {"decision": "keep", "version": None}, "Kept back: there is no champion", ""),
    ],
)
def test_the_verdict_is_told_with_what_became_of_it(standing: Standing, changes: dict[str, object], words: str, after: str) -> None:
    shown = report(standing=standing, **changes)
    html = render(shown)
    text = " ".join(Page(html).text.split())
    assert headline(shown) == words
    assert words in html
    # On top, where it is not as the verdict says, and behind the verdict in words.
    assert text.count(after or "It did not become") == (2 if after and not standing.moved else 1 if after else 0)
    assert ("The verdict was to promote it: the first model" in text) == bool(after and not standing.moved)
    assert ("<code>make release</code>" in html) == (standing.why == HELD)


def test_what_a_person_wrote_into_the_ledger_is_escaped() -> None:
    html = render(report(standing=Standing(False, f"held by `{NASTY}` and {NASTY}\u202e")))
    assert NASTY not in html
    assert "<code>&lt;script&gt;" in html
    assert "\u202e" not in html


@pytest.mark.parametrize(
    ("shared", "bare", "lines"),
    [
        ([], 0, []),
        (
            ["Apple/r6"],
            1,
            [
                "1 group stands on both sides of the split, so the official score is too good: Apple/r6",
                "1 image without a keypoint: only colours speak there",
            ],
        ),
        (
            [f"g{i}" for i in range(10)],
            1200,
            [
                "10 groups stand on both sides of the split, so the official score is too good: g0, g1, g2, g3, g4, g5, g6, g7 and 2 more",
                "1,200 images without a keypoint: only colours speak there",
            ],
        ),
    ],
)
def test_what_makes_a_score_doubtful_stands_on_top(shared: list[str], bare: int, lines: list[str]) -> None:
    notes = {"images_per_label": {"Apple": {"train": 1, "test": 1}}, "shared_groups": shared}
    manifests = {"ingest": {"notes": notes}, "describe": {"counts": {"without_keypoints": bare}}}
    place = Place("run", "orchard", "lake", "landing", "sqlite://")
    found = warnings(Facts(place, manifests, {}, {"official": {"without_test": []}}, {}))
    assert found == lines
    html = render(report(warnings=found))
    assert [line for line in lines if f'<div class="warn">{line}</div>' in html] == lines


def test_a_run_without_test_images_has_a_report() -> None:
    nothing = scores([], [], ["apple", "pear"])
    counts = COUNTS | {"train": 100, "test": 0}
    for official in (nothing, None):
        text = Page(render(report(official=official, counts=counts, mistakes=[], n_mistakes=0, scores=[], keypoints=[], words=[]))).text
        assert "There are no test images, so there is nothing to confuse." in text
        assert "no score" in text


@pytest.mark.parametrize("n_classes", [2, 16, 17, 100])
def test_the_confusion_shows_counts_and_row_percent(n_classes: int) -> None:
    classes = tuple(f"c{i:03d}" for i in range(n_classes))
    html = render(report(classes))
    assert html.count("<b>2</b><small>67 %</small>") == n_classes
    assert html.count("<b>1</b><small>33 %</small>") == n_classes
    assert ('<svg class="map"' in html) == (n_classes > 16)
    assert len(html) < 1_000_000


def test_who_labelled_stands_beside_the_counts_and_what_nobody_can_tell_is_a_row() -> None:
    people = COUNTS | {"untold": 3, "relabelled": 2, "added": 4, "rejected": 0}
    pair = {"annotators": ["anna", NASTY], "n_images": 50, "agreed": 0.7, "kappa": 0.4}
    words = [agreed(pair), agreed({**pair, "n_images": 1, "agreed": 1.0, "kappa": None})]
    text = " ".join(Page(render(report(counts=people, labelled_by={"anna": 5, NASTY: 1}, agreements=words))).text.split())
    assert f"anna and {NASTY} agree on 70.0 % of 50 images (Cohen's kappa 0.40). anna and" in text
    assert "agree on 100.0 % of 1 image (no kappa, for chance agrees always)." in text
    assert "untold: nobody could tell what they show3" in text
    assert "in = kept + rejected + duplicate + conflict + unselected + untold" in text
    assert "2 images otherwise than their folder, 4 that came without a label" in text
    assert f"In force are the labels of anna (5), {NASTY} (1)." in text
    nobody = Page(render(report())).text
    assert "untold" not in nobody and "People labelled" not in nobody


def test_doubtful_labels_are_listed_with_where_they_stand() -> None:
    nothing = {name: [] for name in ("rejects", "conflicts", "leaked", "shared_groups", "linked_groups", "ignored", "gone")}
    pair = {"annotators": ["anna", "berta"], "n_disagreements": 7, "disagreements": [["ab12", "lime", "plum"]]}
    labels = {"spoiled": [["anna.csv:3", "neither content nor path"]], "n_spoiled": 1, "agreements": [pair]}
    groups = [{"label": "mango", "group": "mango/r", "prediction": "strawberry", "n_images": 25, "n_predicted": 24}]
    notes = {**nothing, "n_conflicts": 0, "n_leaked": 0, "labels": labels, "suspect_groups": groups, "without_keypoints": []}
    manifests = {stage: {"notes": notes, "counts": defaultdict(int)} for stage in ("ingest", "describe", "train")}
    assert notices(Facts(Place("r", "n", "lake", "landing", "t"), manifests, {}, {}, {})) == {
        "Labels that could not be read, or of images that are not there": Listing([("anna.csv:3", "neither content nor path")], 1),
        "Images on which two annotators disagree": Listing([("ab12", "anna: lime, berta: plum")], 7),
        "Groups taken for another label by their greater part: is the name of their folder right?": Listing(
            [("mango/r", "labelled mango; 24 of 25 are taken for strawberry")], 1
        ),
    }


def test_the_commonest_confusion_comes_first() -> None:
    found = most_confused(scores(["a"] * 4 + ["b"] * 3, ["b", "b", "a", "a", "b", "b", "a"], ["a", "b"]))
    assert [(pair.label, pair.prediction, pair.n_images, round(pair.percent)) for pair in found] == [("a", "b", 2, 50), ("b", "a", 1, 33)]


def test_the_page_renders_from_a_zip(tmp_path: Path) -> None:
    package = Path(pomona.__file__).parent
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in package.rglob("*"):
            if path.suffix in (".py", ".html"):
                target.write(path, path.relative_to(package.parent))
    program = (
        f"import sys; sys.path.insert(0, {str(archive)!r})\n"
        "import pomona.report.templates as templates\n"
        "print(templates.__file__, len(templates.source('page.html')), len(templates.source('style.html')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "code.zip" in done.stdout


def test_numbers_are_printed_for_people() -> None:
    assert [formats.clock(seconds) for seconds in (0, 59.6, 3725, 360_000)] == ["00:00:00", "00:01:00", "01:02:05", "100:00:00"]
    assert [formats.rate(*given) for given in ((1000, 2.0), (3, 2.0), (1, 40.0), (None, 1.0), (5, 0.0))] == ["500", "1.5", "0.03", "–", "–"]
    assert [formats.dollars(usd) for usd in (None, 0, 0.00123, 0.5, 1, 1234.567)] == [
        "–",
        "$0.0000",
        "$0.0012",
        "$0.5000",
        "$1.00",
        "$1,234.57",
    ]
    assert [formats.dollars(usd, 0.1) for usd in (0.0123, 0.438, 12.0)] == ["$0.0123", "$0.44", "$12.00"]
    assert formats.visible("a\x00b\u202ec\udcffd 🍏é") == "a\\x00b\\u202ec\\udcffd 🍏é"
    assert [formats.short(value) for value in (True, 0.1, 3, "", "sift")] == ["true", "0.1", "3", "(empty)", "sift"]


def test_thumbnails_are_fewer_when_labels_are_many() -> None:
    assert [samples_per_label(n) for n in (0, 2, 40, 100, 1000)] == [8, 8, 6, 2, 2]
