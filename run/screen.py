"""What `make demo` shows: its scenes in lines, and one line for what is waited for, which a terminal sees change and a file but once."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeVar

_Found = TypeVar("_Found")
_LOOK_S = 1.0
_WIDEST = 140


class Failed(Exception):
    """A scene did not happen: the text says what, and what to read."""


@dataclass
class Screen:
    """Lines on a terminal, or in a file or pipe."""

    out: TextIO
    _shown: bool = False
    _told: set[str] = field(default_factory=set)

    def say(self, text: str = "", *, indent: str = "", hanging: str = "") -> None:
        """One paragraph, its first line behind `indent` and the others behind `hanging`."""
        # Paths and commands are for copying: they are not broken.
        wrapped = textwrap.fill(
            text, self._width, initial_indent=indent, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
        )
        print(wrapped, file=self.out, flush=True)

    def title(self, number: int, text: str) -> None:
        """The title of a scene."""
        self.say()
        self.say(f"{number}  {text}")

    def why(self, text: str) -> None:
        """What is going to happen, and why."""
        self.say(text, indent="   ", hanging="   ")

    def row(self, name: str, text: str) -> None:
        """What the system said."""
        self.say(f"{name:<10}{text}", indent="     ", hanging=" " * 15)

    def until(self, found: Callable[[], _Found | str], *, limit_s: float, log: Path, silent: bool = False) -> _Found:
        """What `found` gives, asked every second; a text says what is waited for, `silent` to a terminal alone.

        Raises
        ------
        Failed
            When it has given nothing but texts for so long.
        """
        began = time.monotonic()
        try:
            while isinstance(answer := found(), str):
                seconds = time.monotonic() - began
                if seconds > limit_s:
                    raise Failed(f"{answer}, for {seconds:.0f} s now: see {log}")
                self._wait(answer, seconds, silent)
                time.sleep(_LOOK_S)
            return answer
        finally:
            self._clear()
            self._told.clear()

    def _wait(self, text: str, seconds: float, silent: bool) -> None:
        if self.out.isatty():
            self._clear()
            print(f"     … {text}, {seconds:.0f} s"[: self._width], end="", file=self.out, flush=True)
            self._shown = True
        elif not silent and text not in self._told:
            self._told.add(text)
            print(f"     … {text}", file=self.out, flush=True)

    def _clear(self) -> None:
        """Takes the line of what is waited for away."""
        if self._shown:
            print("\r\033[K", end="", file=self.out, flush=True)
            self._shown = False

    @property
    def _width(self) -> int:
        return min(shutil.get_terminal_size((_WIDEST, 24)).columns - 1, _WIDEST)


def minutes(seconds: float) -> str:
    """`1 min 32 s`."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
