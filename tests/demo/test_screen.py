"""What `make demo` shows while it waits: a line that changes on a terminal, lines that do not repeat themselves elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from run import screen as screens
from run.screen import Failed, Screen, minutes

LOG = Path("/logs/scheduler.log")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screens, "_LOOK_S", 0.0)
    monkeypatch.setenv("COLUMNS", "60")


def looks(*answers: object) -> Callable[[], object]:
    """A look that gives these answers, one after the other."""
    left = iter(answers)
    return lambda: next(left)


def test_a_file_is_told_each_text_once_and_what_was_found_is_given_back() -> None:
    out = io.StringIO()
    assert Screen(out).until(looks("describe", "describe", "encode", "describe", {"state": "success"}), limit_s=9, log=LOG) == {
        "state": "success"
    }
    assert out.getvalue() == "     … describe\n     … encode\n"
    assert Screen(out).until(looks("make served", 0), limit_s=9, log=LOG, silent=True) == 0
    assert out.getvalue() == "     … describe\n     … encode\n"


def test_on_a_terminal_the_line_is_taken_away_at_the_end() -> None:
    out = Terminal()
    assert Screen(out).until(looks("describe", "encode", True), limit_s=9, log=LOG) is True
    assert out.getvalue() == "     … describe, 0 s\r\033[K     … encode, 0 s\r\033[K"


def test_who_waits_too_long_says_for_what_and_names_the_log() -> None:
    with pytest.raises(Failed, match=r"retrain: no run yet, for 0 s now: see /logs/scheduler\.log"):
        Screen(io.StringIO()).until(lambda: "retrain: no run yet", limit_s=-1, log=LOG)


def test_long_text_is_broken_beneath_itself_and_a_path_never() -> None:
    out = io.StringIO()
    path = "/" + "long/" * 20 + "report.html"
    Screen(out).row("verdict", f"promote: right on more of the images of the test; see {path}")
    assert out.getvalue().splitlines() == [
        "     verdict   promote: right on more of the images of the",
        "               test; see",
        f"               {path}",
    ]


def test_seconds_are_told_in_minutes_from_sixty_on() -> None:
    assert [minutes(seconds) for seconds in (0.4, 59.4, 59.6, 372)] == ["0 s", "59 s", "1 min 0 s", "6 min 12 s"]
