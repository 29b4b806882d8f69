"""`python3 docker/runtime_lock.py requirements.lock`: the part of the lock that runs, without what only checks and tests need.

There is one lock; which packages are for development alone is read off its own `# via` lines.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_PROJECT = "pomona (pyproject.toml)"


def runtime(lock: str) -> str:
    """The blocks of the packages that the project itself needs, directly or through others, as they stand in the lock.

    Raises
    ------
    ValueError
        When a block does not say what needs it: it would be left out without a word.
    """
    # A package may have several blocks, one for each Python.
    blocks = [(re.split(r"[=\[ ]", block, maxsplit=1)[0], block) for block in re.split(r"(?m)^(?=[a-z0-9])", lock) if "==" in block]
    mute = sorted(name for name, block in blocks if not _needed_by(block))
    if mute:
        raise ValueError(f"the lock does not say what needs {', '.join(mute)}: compile it with annotations (make lock)")
    wanted = {_PROJECT}
    while more := {name for name, block in blocks if name not in wanted and wanted & _needed_by(block)}:
        wanted |= more
    return "".join(block for name, block in blocks if name in wanted)


def _needed_by(block: str) -> set[str]:
    _, _, via = block.partition("# via")
    return {name for line in via.splitlines() if (name := line.strip().lstrip("# "))}


if __name__ == "__main__":
    print(runtime(Path(sys.argv[1]).read_text(encoding="utf-8")), end="")
