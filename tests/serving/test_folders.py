"""The folder of a version's files: gone with its process or with the next service, never under a living one."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.folders import Folder, remove_left
from tests.serving.services import PROJECT

HOLDER = "import sys; from serving.folders import Folder; folder = Folder(); print(folder.files, flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@contextmanager
def holder() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a folder, and the folder."""
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        files = Path(process.stdout.readline().strip())
        (files / "weights.npz").write_bytes(b"1")
        try:
            yield process, files.parent
        finally:
            process.kill()


def test_the_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(below: Path) -> None:
    with holder() as (killed, left), holder() as (_, used):
        assert remove_left() == []
        killed.kill()
        killed.wait()
        assert (left / "files" / "weights.npz").exists()
        assert remove_left() == [left.name]
        assert list(below.iterdir()) == [used] and (used / "files" / "weights.npz").exists()


def test_a_folder_is_removed_by_its_own_service_and_is_not_left_to_others(below: Path) -> None:
    folder = Folder()
    (folder.files / "weights.npz").write_bytes(b"1")
    folder.remove()
    assert list(below.iterdir()) == []


def test_one_that_is_being_made_is_left_alone_and_what_lies_elsewhere_is_not_reached_by_a_link(below: Path) -> None:
    (below / "pomona-served-new" / "files").mkdir(parents=True)
    (below / "elsewhere").mkdir()
    (below / "elsewhere" / "lock").touch()
    (below / "pomona-served-link").symlink_to(below / "elsewhere")
    assert remove_left() == []
    assert (below / "pomona-served-new").is_dir() and (below / "elsewhere" / "lock").exists()


def test_what_cleans_up_temporary_folders_finds_that_of_a_living_service_locked(below: Path) -> None:
    """As tmpfiles.d has it: a folder under which nothing is to age is one that cannot be locked."""
    with holder() as (process, used):
        folder = os.open(used, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process.kill()
            process.wait()
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(folder)
