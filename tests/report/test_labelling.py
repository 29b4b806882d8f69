"""The labelling page: complete, escaped, without requests; and in a real browser, labelled by its keys into a CSV that is read."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pomona.labels.annotations import History, parse
from pomona.labels.queue import Question
from pomona.report.labelling import picture, render
from pomona.vision.decode import BadImage
from tests.browser import Browser, browser
from tests.drawn_model import picture as drawn
from tests.report.test_report import Page

NASTY = "</script><script>alert(1)</script>"
CONTENTS = [f"{number:064x}" for number in range(6)]
CLASSES = ("apple red 1", "apple red 2", "lemon", "lime", "mu\u0302re", NASTY)


def questions() -> list[Question]:
    """Six: unsure, unlike anything, suspect, and three with names that want quoting."""
    unsure = (("lemon", 0.45), ("lime", 0.4), ("apple red 1", 0.15))
    return [
        Question(CONTENTS[0], "unlabelled/a.jpg", "uncertain", None, unsure),
        Question(CONTENTS[1], "unlabelled/b.jpg", "unknown", None, unsure),
        Question(CONTENTS[2], "Training/lime/c.jpg", "suspect", "lime", (("lemon", 0.9), ("lime", 0.004))),
        Question(CONTENTS[3], 'unlabelled/"d", e.jpg', "uncertain", None, unsure),
        Question(CONTENTS[4], f"unlabelled/{NASTY}.jpg", "uncertain", None, unsure),
        Question(CONTENTS[5], "unlabelled/🍏\u202egpj.f", "uncertain", None, unsure),
    ]


def page(name: str = "orchard") -> str:
    pictures = {content: picture(drawn("plum", seed)) for seed, content in enumerate(CONTENTS)}
    return render(name, questions(), pictures, CLASSES)


def test_the_page_is_one_file_that_asks_nothing_of_the_network_and_runs_its_own_script_alone() -> None:
    html = page(NASTY)
    tags = Page(html).tags
    assert not re.search(r"https?://|@import|url\(", html)
    assert not [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "href", "action", "srcset")]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL)
    assert [attributes for attributes, _ in scripts] == [' type="application/json" id="data"', ""]
    digest = base64.b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    policy = next(attributes["content"] or "" for tag, attributes in tags if attributes.get("http-equiv") == "Content-Security-Policy")
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}';" in policy
    assert "alert(1)</script>" not in html


def test_keys_that_suggestions_leave_free_go_to_further_classes() -> None:
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page(), re.DOTALL)[0])
    more = [[label, None] for label in (NASTY, "apple red 1", "apple red 2", "mu\u0302re")]
    assert data["questions"][2]["suggestions"] == [["lemon", 0.9], ["lime", 0.004], *more]
    assert data["classes"] == sorted(CLASSES)


def test_what_is_no_picture_is_not_shown() -> None:
    with pytest.raises(BadImage):
        picture(b"no picture")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Browser]:
    """The page in Chromium, before the name is given."""
    with browser(tmp_path) as found:
        (tmp_path / "queue.html").write_text(page(), encoding="utf-8")
        found.screen(1280, 800)
        found.open((tmp_path / "queue.html").as_uri())
        yield found


def shown(found: Browser) -> str:
    return str(found.value("document.getElementById('work').hidden ? 'end' : document.getElementById('path').textContent"))


def saved(found: Browser, n: int = 1) -> History:
    file = found.downloaded(n)
    return parse(file.name, file.read_bytes(), modified=datetime.now(UTC))


def labels(history: History) -> dict[int, Any]:
    return {CONTENTS.index(said.content): said.label for said in history.annotations}


def test_a_person_labels_by_keys_alone_and_the_csv_is_read_without_a_fault(opened: Browser) -> None:
    began = datetime.now(UTC)
    assert opened.value("document.getElementById('asking').open")
    opened.press(*"Anna B, c", "Enter")
    assert shown(opened) == "unlabelled/a.jpg"
    opened.press("2")  # lime
    assert opened.value("document.getElementById('told').textContent") == "Labelled lime"
    opened.press(" ", "ArrowLeft", "?")  # skipped, back to it, cannot tell
    assert opened.value("document.getElementById('why').textContent") == "Labelled “lime”: is that right?"
    opened.press("1")  # lemon
    opened.press("4")  # wrong, and taken back
    assert shown(opened).startswith("unlabelled/</script>")
    opened.press("Backspace")
    assert shown(opened) == 'unlabelled/"d", e.jpg'
    # A name with blanks and digits by its first letters; the second of the matches.
    opened.press(*"apple r", "ArrowDown", "Enter")
    opened.press(*'quince, "1"', "Enter")  # a new class
    opened.press("ArrowRight")
    assert shown(opened) == "end"
    opened.press("s", control=True)
    history = saved(opened)
    assert (history.spoiled, history.n_unanswered) == ((), 0)
    assert labels(history) == {0: "lime", 1: None, 2: "lemon", 3: "apple red 2", 4: 'quince, "1"'}
    assert {said.annotator for said in history.annotations} == {"Anna B, c"}
    assert [said.path for said in history.annotations] == [question.path for question in questions()[:5]]
    times = [datetime.fromisoformat(said.at) for said in history.annotations]
    assert began <= times[0] < times[1] < times[2] < times[3] < times[4] <= datetime.now(UTC)
    assert opened.complaints() == []
    assert {address.partition(":")[0] for address in opened.requests()} <= {"file", "data", "blob"}


def test_an_unknown_image_is_said_to_be_one_and_a_new_class_is_typed_and_offered_from_then_on(opened: Browser) -> None:
    opened.press(*"Eva", "Enter", " ")
    assert shown(opened) == "unlabelled/b.jpg"
    assert opened.value("document.getElementById('why').innerText") == "Like nothing that the model knows. A new class? Type its name"
    opened.press(*"quince")
    options = "[...document.querySelectorAll('#matches li')].map(option => option.innerText)"
    assert opened.value(options) == ["new class “quince”"]
    opened.press("Enter")
    assert opened.value("document.getElementById('told').textContent") == "Labelled quince"
    # Among the known labels the first letters find it for the next image.
    opened.press(*"qui")
    assert opened.value(options) == ["quince", "new class “qui”"]
    opened.press("Enter")
    opened.press("s", control=True)
    assert labels(saved(opened)) == {1: "quince", 2: "quince"}


def test_a_new_name_that_a_known_one_holds_is_a_new_class_and_accents_are_the_same_however_they_are_written(opened: Browser) -> None:
    opened.press(*"Eva", "Enter", *"emon", "Enter")
    assert opened.value("document.getElementById('told').textContent") == "Labelled emon"
    # The other one is still there to be chosen.
    opened.press(*"mon", "ArrowDown", "Enter")
    assert opened.value("document.getElementById('told').textContent") == "Labelled lemon"
    opened.press(*"mû", "Enter")
    assert opened.value("document.getElementById('told').textContent") == "Labelled mu\u0302re"
    opened.press("s", control=True)
    assert labels(saved(opened)) == {0: "emon", 1: "lemon", 2: "mu\u0302re"}


def test_a_class_whose_name_begins_with_a_digit_is_typed_in_the_field(opened: Browser) -> None:
    opened.press(*"Eva", "Enter", "/")
    assert opened.value("document.activeElement.id") == "other"
    opened.press(*"2 pears", "Enter")
    assert opened.value("document.getElementById('told').textContent") == "Labelled 2 pears"


def test_a_page_opened_again_goes_on_where_it_was_left(opened: Browser, tmp_path: Path) -> None:
    opened.press(*"Berta", "Enter", "1", "2")
    opened.open((tmp_path / "queue.html").as_uri())
    assert not opened.value("document.getElementById('asking').open")
    assert shown(opened) == "Training/lime/c.jpg"
    assert opened.value("document.getElementById('counts').textContent") == "3 of 6; 2 labelled, 0 cannot tell"
    opened.press("z", control=True)
    assert shown(opened) == "unlabelled/b.jpg"
    opened.press("ArrowLeft", "1")  # the first anew
    opened.click("#save")
    assert labels(saved(opened)) == {0: "lemon"}
    # After a click Space skips, and does not press the button again.
    opened.press(" ")
    assert shown(opened) == "Training/lime/c.jpg"
    assert len(list(opened.downloads.iterdir())) == 1


def test_the_ones_without_a_label_are_gone_through_past_those_that_have_one(opened: Browser) -> None:
    opened.press(*"Gil", "Enter", " ", "1", " ", "1", "1", " ")
    assert shown(opened) == "end"
    opened.click("#again")
    seen = [shown(opened)]
    for key in ("1", " ", "1"):
        opened.press(key)
        seen.append(shown(opened))
    assert seen == ["unlabelled/a.jpg", "Training/lime/c.jpg", "unlabelled/🍏\\u202egpj.f", "end"]
    opened.press("ArrowLeft", "ArrowLeft", "ArrowRight")
    assert shown(opened) == "unlabelled/🍏\\u202egpj.f"


def test_names_that_no_folder_can_have_are_refused_and_the_typed_text_is_shown_as_it_is(opened: Browser) -> None:
    opened.press(*"Carla", "Enter", *"a/b", "Enter")
    assert "no “/”" in opened.value("document.getElementById('told').textContent")
    assert shown(opened) == "unlabelled/a.jpg"
    opened.press("Escape", "3")  # the keys are free again: apple red 1
    assert opened.value("document.getElementById('told').textContent") == "Labelled apple red 1"
    # A letter taken back frees them too.
    opened.press("x", "Backspace", "?")
    assert opened.value("document.getElementById('told').textContent") == "Cannot tell"
    opened.press(*[" "] * 3)
    assert shown(opened) == "unlabelled/🍏\\u202egpj.f"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 800)])
def test_it_fits_a_phone_and_a_desktop_and_every_control_has_a_name(
    opened: Browser, width: int, height: int, dark: bool, tmp_path: Path
) -> None:
    opened.press(*"Dora", "Enter")
    opened.screen(width, height, dark=dark)
    opened.press("x", "Escape")
    assert opened.value("document.documentElement.scrollWidth") <= width
    low = opened.value("Math.min(...[...document.querySelectorAll('#work button')].map(button => button.getBoundingClientRect().height))")
    assert low >= 44
    # Picture and all suggestions are seen together, without scrolling.
    assert opened.value("document.querySelector('#suggestions button:last-child').getBoundingClientRect().bottom") <= height
    assert opened.value("document.getElementById('picture').naturalWidth") == 96
    paper = opened.value("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(21, 24, 19)" if dark else "rgb(251, 250, 246)")
    opened.photograph(tmp_path / f"{width}-{'dark' if dark else 'light'}.png")
    tree = opened.call("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in tree if node.get("role", {}).get("value") in ("button", "combobox", "textbox", "progressbar", "image")]
    assert len(controls) >= 12
    assert [node for node in controls if not node.get("name", {}).get("value")] == []
