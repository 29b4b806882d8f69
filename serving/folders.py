"""Where a version's files are laid down: a temporary folder that goes with the version, or with the next start after a kill."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

# Folders of earlier releases, called pomona-serving-…, have no lock that would tell whether somebody uses them: they are left alone.
_PREFIX, _LOCK = "pomona-served-", "lock"


class Folder:
    """A new folder, locked for as long as this process lives: the system lets go of the locks however the process ends."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
        # What cleans up temporary folders passes over a locked one; it would take a version's files away after some days.
        self._kept = os.open(self._folder.name, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._kept, fcntl.LOCK_SH)
        self.files = Path(self._folder.name) / "files"
        self.files.mkdir()
        # It gets its name when it is locked: a lock that somebody finds free is that of a dead process.
        new = Path(self._folder.name) / f"{_LOCK}.new"
        self._lock = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        new.rename(new.with_name(_LOCK))

    def remove(self) -> None:
        """Removes it with all that lies in it."""
        self._folder.cleanup()
        os.close(self._lock)
        os.close(self._kept)


def remove_left() -> list[str]:
    """The folders of services that were killed, by their names, once they are gone; those of living ones stay, and so do other people's."""
    return [folder.name for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")) if _removed(folder)]


def _removed(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        # It is being made or removed at this moment, or somebody else's.
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True
