"""A clean root file system: the smallest Debian 12 with its Python 3.11, in which `make package` proves what it has built.

Its C library is 2.36, Amazon Linux 2023's is 2.34: that nothing asks for more than 2.34 is read off the libraries themselves
(`environment_archive`). What the proof in here shows is that the archive needs nothing of the machine that built it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from pomona_airflow.deployment import NotReady

PROOF = Path(__file__).with_name("proof.py")
_PACKAGES = "python3.11"
_TIMEOUT_S = 900


def why_none() -> str:
    """Why this machine can have no clean root; empty when it can."""
    if os.geteuid():
        return "only root may change into another root file system"
    return "" if shutil.which("debootstrap") else "there is no debootstrap: install it"


def prove(archive: Path, code: Path, state: Path) -> str:
    """One line on what was imported from archive and zip, in a clean root where there can be one, and else on this machine.

    Raises
    ------
    NotReady
        When something does not import.
    """
    folder = state / "clean-root"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root, reason = _root(folder / "bookworm")
        # Without a root of its own the same is done in a folder, with this machine's libraries in reach.
        place = (root or folder / "here") / "proof"
        _unpack(archive, place / "environment")
        for file in (code, PROOF):
            shutil.copyfile(file, place / file.name)
        said = _run(place, code, [shutil.which("chroot") or "chroot", str(root)] if root else [])
    return f"{said}, {'in a clean Debian 12' if root else f'on this machine only: {reason}'}"


def bootstrap(root: Path, *packages: str) -> None:
    """Makes the smallest Debian 12 in the folder, with these packages more, from where this machine has its own.

    Raises
    ------
    NotReady
        When debootstrap fails.
    """
    more = [f"--include={','.join(packages)}"] if packages else []
    words = ["debootstrap", "--variant=minbase", *more, "bookworm", str(root), *_mirror()]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise NotReady(f"debootstrap could not make a Debian 12: {(done.stdout.strip() or 'no output').splitlines()[-1]}")


def _mirror() -> list[str]:
    """The address of this machine's Debian 12, from apt itself; empty where apt has none."""
    command = ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
    return [line.split()[1] for line in said.splitlines() if line.startswith("bookworm ")][:1]


def _root(root: Path) -> tuple[Path | None, str]:
    """The clean root, made first where it is missing, or none and why."""
    if why_none():
        return None, why_none()
    if not (root / "usr" / "bin" / _PACKAGES).exists():
        making = root.with_suffix(".making")
        shutil.rmtree(making, ignore_errors=True)
        try:
            bootstrap(making, _PACKAGES)
        except NotReady as error:
            return None, str(error)
        for folder in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(making / folder, ignore_errors=True)
        making.rename(root)
    return root, ""


def _unpack(archive: Path, folder: Path) -> None:
    """As Hadoop does it: by tar. An archive that is unpacked already is taken as it is."""
    mark = folder.parent / "unpacked"
    said = f"{archive.name} {archive.stat().st_mtime_ns}"
    if mark.exists() and mark.read_text() == said:
        return
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(folder)], stdin=subprocess.DEVNULL, check=True)
    mark.write_text(said)


def _run(place: Path, code: Path, change: list[str]) -> str:
    """What the proof says last, run with an empty environment from the folder's place, which is /proof after a change of root."""
    at = Path("/proof") if change else place
    words = [*change, f"{at}/environment/bin/python", f"{at}/{PROOF.name}", f"{at}/{code.name}"]
    done = subprocess.run(words, env={}, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise NotReady(f"the proof failed, so nothing was put in place: {last}")
    return done.stdout.strip().splitlines()[-1]
