"""The monitoring page: complete for any history, escaped, without requests or scripts, and in a real browser as wide as its screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pomona.lake import Lake
from pomona.monitoring.panel import STATISTICS
from pomona.monitoring.timeline import Timeline, gathered
from pomona.report import health
from pomona.report.health import own_score, render, taken_rows, tiles
from tests import drawn_history as drawn
from tests.browser import Browser, browser
from tests.drawn_history import START, record, window
from tests.report.test_report import Page

NASTY = "<script>alert(1)</script>"
NOW = START + timedelta(days=92)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), "fruit").open()


def page(lake: Lake) -> Page:
    return Page(render(gathered(lake, now=NOW)))


def rows(html: str, section: str) -> list[list[str]]:
    """The text of each cell of the first table of a section, head first."""
    table = re.search(rf'<section id="{section}">.*?<table[^>]*>(.*?)</table>', html, re.DOTALL)
    assert table
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", table[1], re.DOTALL)
    return [
        [" ".join(Page(f"<p>{cell}</p>").text.split()) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)]
        for line in lines
    ]


def test_an_empty_lake_has_a_page_that_says_what_to_do(lake: Lake) -> None:
    found = page(lake)
    assert found.open == []
    assert "svg" not in {tag for tag, _ in found.tags}
    text = " ".join(found.text.split())
    assert "There is no champion No version is the champion yet. make run makes the first one." in text
    for said in ("Nothing has happened yet", "Nobody has watched yet", "No window has been judged", "No day yet", "No run has reached"):
        assert said in text


def test_a_lake_with_one_run_has_its_champion_and_its_score(lake: Lake) -> None:
    drawn.put_run(lake, "r1", day=1, version=1, accuracy=0.9, images=(120, 3))
    drawn.put_move(lake, None, 1, day=1.01, run="r1")
    html = render(gathered(lake, now=NOW))
    assert rows(html, "runs")[1] == ["2026-08-21 06:00r1", "1", "90.0 %", "84.0 % to 93.0 %", "640", "16", "promote", "yes"]
    assert rows(html, "champions")[1] == ["1", "2026-08-21 06:14:24 UTC", "promoted by run r1 of arrival: better by 1.2 points"]
    assert "No picture without a label has been shown to a champion yet" in html


def test_a_lake_of_an_earlier_release_has_no_record_of_the_watch(lake: Lake) -> None:
    drawn.put_move(lake, None, 1, day=1)
    drawn.put_scored(lake, n_pictures=200, n_unknown=20, n_rejects=0)
    text = page(lake).text
    assert "Nobody has watched yet whether new pictures look as in training" in text
    assert "200 pictures without a label have been shown to a champion." in text


def test_the_figures_on_top_are_those_of_the_champion_and_the_last_month(lake: Lake) -> None:
    drawn.put_run(lake, "r1", day=1, version=1, accuracy=0.9, images=(120, 3))
    drawn.put_run(lake, "r2", day=50, version=2, accuracy=0.8, images=(1_500, 4), decision="keep")
    drawn.put_move(lake, None, 1, day=1, run="r1")
    # 62 days before the end, and 29.
    lake.append("health", 1, record(1, [window(3.0, day=30)], day=30))
    lake.append("health", 2, record(2, [window(1.5, day=63), window(0.5, day=63)], day=63))
    drawn.put_scored(lake, n_pictures=110, n_unknown=4, n_rejects=10)
    found = [(tile.figure, tile.more) for tile in tiles(gathered(lake, now=NOW))]
    assert found == [
        ("1", "since 2026-08-21"),
        ("90.0\u00a0%", "95 %: 84.0\u00a0% to 93.0\u00a0%"),
        ("1,500", "4 labels"),
        ("1 of 2", "in the last 30 days"),
        ("4.0\u00a0%", "of 100 pictures without a label; 10 more cannot be read"),
    ]
    assert [tile.figure for tile in tiles(Timeline("fruit", NOW))] == ["–"] * 5
    assert own_score(Timeline("fruit", NOW)) is None


def test_a_day_has_its_batches_windows_and_symptoms_and_the_last_sixty_are_shown_the_newest_first(lake: Lake) -> None:
    windows = [window(1.25, day=70), window(0.5, day=70)]
    lake.append("health", 1, record(1, windows, day=70, n_new=1_450, n_unknown=30, n_rejects=2))
    lake.append("health", 2, record(2, day=70.2, n_new=50, n_unknown=None, n_rejects=0))
    for number in range(3, 73):
        lake.append("health", number, record(number, day=number - 3, n_new=9, n_unknown=None, n_rejects=0))
    html = render(gathered(lake, now=NOW))
    found = rows(html, "days")
    assert len(found) == 15
    # Two weeks are open, the others behind them.
    assert "<summary>46 days before</summary>" in html
    assert html.count('<th scope="row">2026-') == 60
    blurry = "blurrier than in training: mean blur 1.25, training 0.41 ± 0.06"
    assert found[1] == ["2026-10-29", "2", "1,500", "30", "2", "2", "1", "1.25 ×", blurry]
    assert found[2] == ["2026-10-28", "1", "9", "–", "0", "0", "0", "–", ""]
    assert "the last 60 of 71" in html


def test_an_episode_is_told_in_words_with_its_symptoms(lake: Lake) -> None:
    begins = window(1.5, day=70, phase="drift", began=True, scores={"blur": 1.5, "words": 1.1}, symptoms=["blurrier", "other words"])
    windows = [begins, window(2.25, day=71, phase="drift"), window(0.2, day=75, phase="pause")]
    lake.append("health", 1, record(1, windows, day=75, champion=4))
    text = " ".join(page(lake).text.split())
    assert "Drift 1 · version 4 2026-10-29 06:00 to 2026-11-03 06:00" in text
    assert "2 of 2 windows alarmed, at most 2.25 × the threshold: the pictures themselves have changed" in text
    assert "blurrier than in training: mean blur 2.25, training 0.41 ± 0.06 · 2 windows other words · 1 window" in text
    lake.append("health", 2, record(2, [window(1.5, day=80, phase="drift", began=True)], day=80, champion=4))
    text = " ".join(page(lake).text.split())
    assert text.index("Drift 2 · version 4 going on since 2026-11-08 06:00") < text.index("Drift 1 · version 4")


def test_what_people_runs_and_labels_are_called_is_escaped_everywhere(lake: Lake) -> None:
    drawn.put_run(lake, "r1", day=1, version=1, accuracy=0.9, images=(120, 3), decision=NASTY)
    lake.put_document("runs/r2/summary.json", drawn.summary(NASTY, day=2, version=2, accuracy=0.8))
    drawn.put_move(lake, None, 1, day=1, run=NASTY, by=f"person ({NASTY})", hold=True)
    strange = window(2.0, day=3, phase="drift", began=True, kind=NASTY, scores={NASTY: 2.0}, symptoms=[f"{NASTY}\u202eevil"])
    lake.append("health", 1, record(1, [strange], day=3, run=NASTY))
    lake.append("health", 2, record(2, day=4, why=f"`{NASTY}`"))
    for html in (render(gathered(lake, now=NOW)), render(Timeline(NASTY, NOW))):
        found = Page(html)
        assert found.open == []
        assert "script" not in {tag for tag, _ in found.tags}
        assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
        assert NASTY not in html
        assert "alert(1)" in found.text
        assert "\u202e" not in html


def test_the_page_is_one_file_that_asks_nothing_of_the_network(lake: Lake) -> None:
    drawn.three_months(lake)
    html = render(gathered(lake, now=NOW))
    found = Page(html)
    addresses = {
        value or "" for _, attributes in found.tags for name, value in attributes.items() if name in ("src", "href", "action", "srcset")
    }
    assert addresses
    assert addresses == {f"#{attributes['id']}" for tag, attributes in found.tags if tag == "section"}
    assert not {tag for tag, _ in found.tags} & {"link", "script", "iframe", "object", "embed", "base", "img", "use"}
    assert not re.search(r"https?://|@import|url\(", html)
    policy = next(attributes["content"] for _, attributes in found.tags if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def test_every_chart_has_a_title_and_a_description_of_its_own(lake: Lake) -> None:
    drawn.three_months(lake)
    html = render(gathered(lake, now=NOW))
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    charts = [attributes for tag, attributes in Page(html).tags if tag == "svg" and attributes.get("role") == "img"]
    assert len(charts) == 2 + len(STATISTICS)
    for attributes in charts:
        title, words = (attributes["aria-labelledby"] or "").split()
        assert re.search(rf'<title id="{title}">[^<]+</title>', html)
        assert re.search(rf'<desc id="{words}">[^<]+</desc>', html)


def test_thousands_of_windows_take_less_than_a_megabyte_and_the_page_says_how_they_were_thinned_out(lake: Lake) -> None:
    scores = dict.fromkeys(STATISTICS, 0.4)
    for number in range(1, 401):
        blur, day = 1.4 if number % 9 == 0 else 0.4, number * 92 / 400
        lake.append("health", number, record(number, [window(blur, day=day, scores={**scores, "blur": blur})] * 5, day=day))
    html = render(gathered(lake, now=NOW))
    assert len(html.encode()) < 1_000_000
    assert "Of 2,000 windows the largest score of each of" in html


def test_images_are_listed_only_where_their_number_changes(lake: Lake) -> None:
    for number, images in enumerate(((100, 2), (100, 2), (120, 2), (120, 3), (100, 2))):
        lake.put_document(
            f"runs/r{number}/manifests/ingest.json", drawn.manifest(f"r{number}", day=number, n_images=images[0], n_labels=images[1])
        )
    found = taken_rows(gathered(lake, now=NOW))
    assert [(at - START).days for at, _, _ in found] == [4, 3, 2, 0]
    assert [(n_images, n_labels) for _, n_images, n_labels in found] == [(100, 2), (120, 3), (120, 2), (100, 2)]


def test_the_written_page_lies_in_the_lake_and_says_what_stands_on_it_first(lake: Lake) -> None:
    drawn.three_months(lake)
    found = health.written(lake)
    assert found.location == lake.location("health/health.html")
    html = lake.get("health/health.html").decode()
    assert f"<strong>{found.conclusion.headline}</strong>" in html
    assert lake.last_number("health") == len(gathered(lake, now=NOW).batches)


def test_a_page_that_cannot_be_written_costs_a_job_nothing_but_a_traceback(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    lake.put("health/000001.json", b'{"number": 1}')
    health.write(lake)
    assert "the page health/health.html could not be written; `make health` writes it anew" in caplog.text
    assert "KeyError" in caplog.text
    assert not lake.exists("health/health.html")


@pytest.fixture
def opened(tmp_path: Path, lake: Lake) -> Iterator[Any]:
    """The page of three months in Chromium."""
    now = drawn.three_months(lake)
    # A name without a space is what would be wider than a phone.
    lake.append("health", 900, record(900, [window(1.5, day=91, symptoms=["w" * 300])], day=91.5, champion=7))
    (tmp_path / "health.html").write_text(render(gathered(lake, now=now)), encoding="utf-8")
    with browser(tmp_path / "browser") as found:
        yield found, (tmp_path / "health.html").as_uri()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "kind"), [(360, "narrow"), (820, "narrow"), (1200, "broad")])
def test_it_fits_a_phone_and_a_desktop_and_asks_for_nothing(opened: tuple[Browser, str], width: int, kind: str, dark: bool) -> None:
    found, address = opened
    found.screen(width, 800, dark=dark)
    found.open(address)
    assert found.value("document.documentElement.scrollWidth") <= width
    # What a table cuts off cannot be read on a phone without dragging it.
    wide = found.value("[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth + 1).length")
    assert wide == 0
    shown = found.value(
        "[...document.querySelectorAll('#timeline svg.timeline')].map(each => [each.parentElement.className, each.clientWidth])"
    )
    assert [name for name, pixels in shown if pixels] == [kind]
    # Letters of charts are between 9 and 16 pixels high, whatever the screen.
    sizes = found.value(
        "[...document.querySelectorAll('svg.timeline')].filter(each => each.clientWidth)"
        ".map(each => 10.5 * each.clientWidth / each.viewBox.baseVal.width)"
    )
    assert all(8.5 < size < 19 for size in sizes), sizes
    assert found.complaints() == []
    assert {each.partition(":")[0] for each in found.requests()} == {"file"}
    paper = found.value("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(21, 24, 19)" if dark else "rgb(251, 250, 246)")


def test_it_fits_a_sheet_of_paper_with_what_is_folded_on_the_screen(opened: tuple[Browser, str]) -> None:
    found, address = opened
    # A4 less margins of 1 cm, in CSS pixels.
    found.screen(718, 1000)
    found.open(address)
    found.call("Emulation.setEmulatedMedia", media="print")
    assert found.value("document.documentElement.scrollWidth") <= 718
    assert found.value("document.querySelector('#timeline .broad svg').clientWidth") > 700
    folded = found.value("[...document.querySelectorAll('details > div')].map(each => each.getBoundingClientRect().height)")
    assert len(folded) == 3
    assert min(folded) > 100


def test_words_of_charts_do_not_lie_on_each_other(opened: tuple[Browser, str]) -> None:
    found, address = opened
    for width in (360, 1200):
        found.screen(width, 800)
        found.open(address)
        overlapping = found.value("""
            [...document.querySelectorAll('svg.timeline')].filter(each => each.clientWidth).flatMap(chart => {
              const boxes = [...chart.querySelectorAll('text')].map(each => [each.textContent, each.getBoundingClientRect()]);
              const touch = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
              return boxes.flatMap(([text, a], i) =>
                boxes.slice(i + 1).filter(([_, b]) => touch(a, b)).map(([other]) => text + ' / ' + other));
            })
        """)
        assert overlapping == [], width
