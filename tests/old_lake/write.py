"""Writes `lake.tar.xz`: a landing zone of drawn pictures and the lake of one run over it, as the release that is checked out made it.

    git worktree add /tmp/older 741d579
    cd /tmp/older && PYTHONPATH=.:spark_jobs <project>/.venv/bin/python <project>/tests/old_lake/write.py

741d579 is the release before stages told their effort and tasks read parts themselves. Write a lake anew only where an older release
is to be held too: what an earlier release wrote does not change any more.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from demo.orchard import KINDS, draw
from tests.conftest import SMALL, Runs

RUN = "older"
# So few that the archive stays small.
KNOBS = {"n_words": 12, "n_components": 4, "max_keypoints": 60}
_DRAWN = 1_780_000_000


def write(archive: Path) -> None:
    """Draws, runs the whole chain once and packs landing zone and lake; the pictures' times are kept, for they are versions."""
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        draw(folder / "landing", frames=4, kinds=list(KINDS)[:2], rotations=2, bad=False)
        for picture in (folder / "landing").rglob("*.jpg"):
            # A version is a time in nanoseconds; an archive keeps whole seconds exactly.
            os.utime(picture, (_DRAWN, _DRAWN))
        runs = Runs(folder, folder / "landing", knobs={**SMALL, **KNOBS})
        for stage, result in runs.through(RUN).items():
            print(f"{stage}: {result.line}")
        with tarfile.open(archive, "w:xz", format=tarfile.PAX_FORMAT, preset=9) as packed:
            for part in ("landing", "lake"):
                packed.add(folder / part, part, filter=_nobodys)


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    release = subprocess.run(["git", "log", "-1", "--format=%h %s"], capture_output=True, text=True, check=True).stdout.strip()
    write(Path(__file__).with_name("lake.tar.xz"))
    print(f"written by {release}")
