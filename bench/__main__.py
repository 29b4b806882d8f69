"""Measures, prints the table, and writes the measured sections of bench/RESULTS.md anew.

    python -m bench [stages] [fruits10] [threebody] [photographs] [memory[=IMAGES]] [growth[=1,2,…]] [peers[=IMAGES]]

Real images are found through POMONA_REAL_IMAGES, a folder with `fruits10/` and `threebody/`; drawn ones stand in where they can. A group's
sizes are images, of `growth` multiples of `threebody`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from bench import chains, growth, memory, peers, photographs, stages
from bench.measure import Row, load
from bench.stand import PROJECT, VARIABLE, stand

_SIZED = {"memory": memory, "growth": growth, "peers": peers}
GROUPS: Mapping[str, Callable[..., Iterable[Row]]] = {
    "stages": stages.measure,
    "fruits10": chains.fruits10,
    "threebody": chains.threebody,
    "photographs": photographs.measure,
    **{name: group.measure for name, group in _SIZED.items()},
}
_LIBRARIES = ("pyspark", "apache-airflow", "mlflow", "opencv-python-headless", "numpy", "pyarrow", "faiss-cpu", "scikit-learn")
RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = "# Figures\n\nWritten by `make bench`; `python -m bench NAME` measures one section anew. Each section was measured in one run.\n"


def main(words: Sequence[str]) -> int:
    """0 when every goal that was measured is met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the project's figures.")
    parser.add_argument("groups", nargs="*", metavar="GROUP[=SIZE,…]", help=f"of {', '.join(GROUPS)}; all when none is named")
    try:
        ordered = [asked(word) for word in parser.parse_args(words).groups or GROUPS]
    except ValueError as error:
        parser.error(str(error))
    if not os.environ.get(VARIABLE):
        print(f"{VARIABLE} is not set: drawn images where they can stand in for real ones", file=sys.stderr)
    sections = known(RESULTS.read_text() if RESULTS.exists() else "")
    met = True
    for name, sizes in ordered:
        before, started = load(), time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        with stand() as at:
            rows = measured(name, GROUPS[name](at, sizes) if sizes else GROUPS[name](at))
        met &= all(row.met is not False for row in rows)
        print(f"\n{name}\n{plain(rows)}", flush=True)
        sections[name] = f"Measured {started} UTC, load {before:.1f} before it began, on {machine()}.\n\n{markdown(rows)}"
        RESULTS.write_text(written(sections))
    return 0 if met else 1


def measured(name: str, group: Iterable[Row]) -> list[Row]:
    """The group's rows; where it breaks down, those before it and one that says why."""
    rows = []
    try:
        for row in group:
            print(f"{row.what}: {row.figure}", file=sys.stderr, flush=True)
            rows.append(row)
    except RuntimeError as error:
        rows.append(Row(f"the rest of {name}", "not measured", "to be measured", False, str(error)))
    return rows


def asked(word: str) -> tuple[str, tuple[int, ...]]:
    """The group that a word names, and its sizes; none where it names none.

    Raises
    ------
    ValueError
        For a group that is not known or has no sizes, and for sizes that are no positive numbers.
    """
    name, equals, sizes = word.partition("=")
    if name not in GROUPS:
        raise ValueError(f"no group {name!r}: {', '.join(GROUPS)}")
    if equals and name not in _SIZED:
        raise ValueError(f"{word}: {name} has no sizes, only {', '.join(_SIZED)} have")
    numbers = tuple(int(size) if size.isdigit() else 0 for size in sizes.split(",")) if equals else ()
    if 0 in numbers:
        raise ValueError(f"{word}: sizes are positive numbers, separated by commas")
    return name, numbers


def known(text: str) -> dict[str, str]:
    """The sections of an earlier RESULTS.md, by name."""
    parts = re.split(r"^## (\S+)\n+", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def written(sections: Mapping[str, str]) -> str:
    ordered = [name for name in GROUPS if name in sections]
    return _HEAD + "".join(f"\n## {name}\n\n{sections[name].strip()}\n" for name in ordered)


def markdown(rows: Iterable[Row]) -> str:
    lines = ["| what | figure | goal | met | |", "| --- | --- | --- | --- | --- |"]
    cells = ([row.what, row.figure, row.goal, verdict(row), row.note] for row in rows)
    return "\n".join(lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells])


def plain(rows: Sequence[Row]) -> str:
    """The rows for a terminal: columns as wide as they need."""
    cells = [[row.what, row.figure, row.goal, verdict(row)] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + (f"\n    {row.note}" if row.note else "")
        for line, row in zip(cells, rows, strict=True)
    )


def verdict(row: Row) -> str:
    return {True: "yes", False: "NO", None: "–" if row.goal else ""}[row.met]


def machine() -> str:
    """Processor, cores, memory, versions and commit, in one line."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = psutil.virtual_memory().total / (1 << 30)
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.partition("\n")[0].replace('"', "")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return ", ".join(
        [
            f"{cpu[1] if cpu else platform.machine()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB",
            f"Python {platform.python_version()}, {java}",
            *versions,
            f"commit {_commit()}",
        ]
    )


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
