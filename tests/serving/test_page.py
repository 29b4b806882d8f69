"""The page in a real browser, as wide as a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, browser
from tests.drawn_model import COLOURS, strange_picture
from tests.serving.services import IMAGES

pytestmark = pytest.mark.heavy


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path) as tab:
        tab.screen(360, 740)
        yield tab


@pytest.fixture
def lemon(tmp_path: Path) -> Path:
    (tmp_path / "lemon.jpg").write_bytes(IMAGES[0])
    return tmp_path / "lemon.jpg"


def seen(tab: Browser, element: str) -> str:
    """The element's text; empty while it is hidden."""
    return str(tab.value(f"(e => e.checkVisibility() ? e.innerText : '')(document.getElementById({element!r}))"))


def kept(tab: Browser, name: str) -> None:
    """Where somebody wants to look at it (POMONA_SCREENSHOTS: a folder), the page is drawn there."""
    if folder := os.environ.get("POMONA_SCREENSHOTS"):
        tab.photograph(Path(folder) / f"{name}.png")


def answered(tab: Browser) -> None:
    tab.until("document.getElementById('count').checkVisibility() && document.getElementById('answer').checkVisibility()")


@pytest.mark.parametrize("dark", [False, True])
def test_a_chosen_picture_gets_its_label_bars_and_keypoints(client, tab, lemon, dark):
    tab.screen(360, 740, dark=dark)
    tab.open(str(client.base_url))
    tab.until("document.getElementById('who').innerText.trim()")
    assert seen(tab, "who") == "drawn, version 1, answers"
    assert seen(tab, "privacy") == "It goes to this service and nowhere else; the service keeps 100 % of what it is sent."
    kept(tab, f"empty-{'dark' if dark else 'light'}")
    tab.choose("#choose", lemon)
    answered(tab)
    assert (seen(tab, "label"), seen(tab, "guess")) == ("lemon", "")
    rows = tab.value("[...document.querySelectorAll('#bars li')].map(row => row.innerText.split('\\n'))")
    shares = {label: float(share.removesuffix(" %")) for label, share in rows}
    assert set(shares) == set(COLOURS) and rows[0][0] == "lemon" and sum(shares.values()) == pytest.approx(100, abs=0.3)
    n_points = len(client.post("/keypoints", content=IMAGES[0]).json()["keypoints"])
    assert seen(tab, "count") == f"Show the {n_points} keypoints"
    assert tab.value("document.querySelectorAll('#points circle').length") == n_points
    kept(tab, f"answered-{'dark' if dark else 'light'}")
    # Nothing is wider than the phone, and nobody but the service was asked.
    assert tab.value("document.documentElement.scrollWidth") == 360
    assert all(url.startswith((str(client.base_url), "data:", "blob:")) for url in tab.requests()) and not tab.complaints()


@pytest.mark.parametrize("dark", [False, True])
def test_of_a_picture_like_none_of_the_labels_the_page_says_so_in_words(client, tab, lemon, tmp_path, dark):
    tab.screen(360, 740, dark=dark)
    tab.open(str(client.base_url))
    (tmp_path / "strange.jpg").write_bytes(strange_picture())
    tab.choose("#choose", tmp_path / "strange.jpg")
    answered(tab)
    said = client.post("/predict", content=strange_picture()).json()
    share = tab.value(f"percent({said['probability']!r})")
    assert (seen(tab, "label"), seen(tab, "probability")) == ("Unlike anything that this model knows", "")
    assert seen(tab, "guess") == f"Its nearest guess is {said['label']}, with {share}."
    kept(tab, f"unknown-{'dark' if dark else 'light'}")
    assert tab.value("document.documentElement.scrollWidth") == 360
    # The next picture is judged by itself.
    tab.choose("#choose", lemon)
    tab.until("document.getElementById('label').innerText === 'lemon'")
    assert seen(tab, "guess") == "" and seen(tab, "probability")


def test_the_points_lie_on_the_picture_and_can_be_hidden(client, tab, lemon):
    tab.open(str(client.base_url))
    tab.choose("#choose", lemon)
    answered(tab)
    edges = "(e => { const box = e.getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom].map(Math.round); })"
    assert tab.value(f"{edges}(document.getElementById('picture'))") == tab.value(f"{edges}(document.getElementById('points'))")
    tab.value("document.getElementById('shown').click()")
    assert tab.value("getComputedStyle(document.getElementById('points')).visibility") == "hidden"


def test_a_phone_is_offered_its_camera_and_a_desk_is_not(client, tab):
    tab.open(str(client.base_url))
    assert seen(tab, "camera") == "Take a photograph"
    assert tab.value("document.getElementById('take').getAttribute('capture')") == "environment"
    tab.screen(1200, 800)
    tab.open(str(client.base_url))
    assert seen(tab, "camera") == ""
    kept(tab, "desk")


def test_what_goes_wrong_is_said_in_words(client, tab, tmp_path):
    tab.open(str(client.base_url))
    (tmp_path / "letter.jpg").write_bytes(b"hello")
    tab.choose("#choose", tmp_path / "letter.jpg")
    tab.until("!document.getElementById('trouble').hidden")
    assert seen(tab, "trouble") == "No usable picture: no JPEG, PNG, GIF, WebP, BMP or TIFF."
    assert seen(tab, "busy") == "" and seen(tab, "answer") == ""
    kept(tab, "trouble")
    tab.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    tab.choose("#choose", tmp_path / "letter.jpg")
    tab.until("document.getElementById('trouble').innerText.startsWith('The service cannot be reached')")


def test_the_page_is_worked_by_keyboard_alone(client, tab, lemon):
    tab.screen(800, 800)
    tab.open(str(client.base_url))
    tab.press("Tab")
    assert tab.value("document.activeElement.id") == "choose"
    assert tab.value("getComputedStyle(document.activeElement.closest('.choice')).outlineStyle") == "solid"
    tab.choose("#choose", lemon)
    answered(tab)
    tab.press("Tab")
    assert tab.value("document.activeElement.id") == "shown"
    tab.press(" ")
    assert tab.value("document.getElementById('shown').checked") is False
