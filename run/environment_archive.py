"""The Python environment of a cluster's machines as one archive, built from requirements-job.lock.

    bin/python -> /usr/bin/python3.11     the release's own
    pyvenv.cfg                            which makes of it the Python of this folder, wherever it is unpacked
    lib/python3.11/site-packages          the locked wheels, compiled, less tests and headers

The same lock gives the same bytes: files in order, with no time and no owner, compiled with a fixed hash seed.
"""

from __future__ import annotations

import fcntl
import gzip
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pomona_airflow.deployment import NotReady
from pomona_airflow.emr.packages import LOCK, environment_name

PYTHON = "/usr/bin/python3.11"
# Amazon Linux 2023's C library.
GLIBC = (2, 34)
SITE = "lib/python3.11/site-packages"
_PLATFORM = ("--python-version", "3.11", "--python-platform", f"x86_64-manylinux_{GLIBC[0]}_{GLIBC[1]}", "--only-binary", ":all:")
# Only what no module imports at run time. NumPy's tests stay, for numpy.testing, which SciPy imports, takes a file from there.
_LEFT_OUT = ("pandas/tests", "scipy/*/tests", "scipy/*/*/tests", "sklearn/tests", "sklearn/*/tests", "pyarrow/tests", "pyarrow/include")
_SOURCES = (".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".hpp", ".cc", ".a")
_NEEDS_GLIBC = re.compile(rb"GLIBC_(\d+)\.(\d+)")
# The earliest time that a zip could hold, for those who compare.
_TIME = 315532800


def kept(state: Path) -> Path:
    """The archive that belongs to the lock of today, in the state folder; built when it is missing, and older ones go.

    Raises
    ------
    NotReady
        When it cannot be built.
    """
    folder = state / "packages"
    target = folder / environment_name()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not target.exists():
            build(LOCK, target)
            for older in set(folder.glob("environment-*.tar.gz")) - {target}:
                older.unlink()
    return target


def build(lock: Path, target: Path) -> Path:
    """The archive of the lock's packages, only ever seen whole.

    Raises
    ------
    NotReady
        When there is no Python 3.11, a wheel cannot be had, or one needs a newer C library than the release has.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as scratch:
        tree = Path(scratch) / "environment"
        _install(lock, tree)
        stop_if_too_new(tree)
        _compile(tree)
        spare = Path(scratch) / target.name
        pack(tree, spare)
        spare.replace(target)
    return target


def newest_glibc(tree: Path) -> tuple[tuple[int, int], str]:
    """The newest version of the C library that a shared library below the folder asks for, and which library that is."""
    found = ((0, 0), "none")
    for library in (path for path in sorted(tree.rglob("*.so*")) if path.is_file()):
        asked = (tuple(map(int, version)) for version in _NEEDS_GLIBC.findall(library.read_bytes()))
        newest = max(asked, default=(0, 0))
        found = max(found, ((newest[0], newest[1]), library.relative_to(tree).as_posix()))
    return found


def stop_if_too_new(tree: Path) -> None:
    """Raises NotReady when a library asks for more than Amazon Linux 2023 has."""
    (major, minor), library = newest_glibc(tree)
    if (major, minor) > GLIBC:
        raise NotReady(f"{library} needs glibc {major}.{minor}, and EMR 7 has {GLIBC[0]}.{GLIBC[1]}: take an older version of its package")


def _install(lock: Path, tree: Path) -> None:
    site = tree / SITE
    uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", sys.executable, *_PLATFORM]
    _run([*uv, "--no-deps", "--require-hashes", "--target", str(site), "-r", str(lock)], f"{lock.name} could not be installed")
    # Commands name the Python that they were installed by; nobody calls any.
    shutil.rmtree(site / "bin", ignore_errors=True)
    for folder in (found for pattern in _LEFT_OUT for found in site.glob(pattern)):
        shutil.rmtree(folder)
    for file in [path for path in site.rglob("*") if path.suffix in _SOURCES or path.name in ("direct_url.json", "uv_cache.json", ".lock")]:
        file.unlink()
    for record in site.glob("*.dist-info/RECORD"):
        kept = [line for line in sorted(record.read_text().splitlines()) if (site / line.split(",")[0].strip('"')).exists()]
        record.write_text("\n".join(line for line in kept if not line.startswith("../")) + "\n")
    (tree / "bin").mkdir()
    (tree / "bin" / "python").symlink_to(PYTHON)
    (tree / "pyvenv.cfg").write_text(f"home = {Path(PYTHON).parent}\ninclude-system-site-packages = false\nversion = 3.11\n")


def _compile(tree: Path) -> None:
    """Bytecode that is never checked against its source: a cluster's folder is read-only, where each process would compile anew: 3 s."""
    python = PYTHON if Path(PYTHON).exists() else shutil.which("python3.11") or ""
    if not python:
        raise NotReady("the environment is compiled by Python 3.11, as EMR 7 has it, and there is none here: install python3.11")
    words = [python, "-P", "-s", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(tree), str(tree / "lib")]
    # It fails for templates and Python 2 files that some packages carry; what cannot be compiled cannot be imported either.
    subprocess.run(words, env={"PYTHONHASHSEED": "0"}, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def pack(tree: Path, target: Path) -> None:
    """Writes the folder's files as an archive that says nothing of when, where and by whom it was made."""
    with target.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for path in _in_order(tree):
            archive.add(path, path.relative_to(tree).as_posix(), recursive=False, filter=_anonymous)


def _in_order(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _in_order(path)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime, member.uid, member.gid, member.uname, member.gname = _TIME, 0, 0, "", ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def _run(words: list[str], failure: str) -> None:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise NotReady(f"{failure}: {(done.stderr.strip() or done.stdout.strip() or 'no output').splitlines()[-1]}")
