"""A cluster's packages: named after their content, put in place once; their lock is cut from the main one and has all that jobs import."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

from pomona_airflow.deployment import PROJECT, Deployment, NotReady
from pomona_airflow.emr.packages import environment_name, missing, packages
from run import environment_archive, package
from tests.test_imports import files, imports

LOCK = PROJECT / "requirements-job.lock"
_OF_THE_CLUSTER = {"pyspark", "py4j"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "packages"


@pytest.fixture
def deployment(tmp_path: Path, place: Path) -> Deployment:
    return Deployment.from_environment({"POMONA_STATE": str(tmp_path / "state"), "POMONA_EMR_PACKAGES": str(place)})


def blocks(lock: Path) -> dict[str, set[str]]:
    """The hashes of each pinned package, by `name==version`."""
    found = re.split(r"(?m)^(?=[a-z0-9])", lock.read_text())
    return {re.split(r"[ \\]", block, maxsplit=1)[0]: set(re.findall(r"--hash=(\S+)", block)) for block in found if "==" in block}


def test_without_its_environment_a_stage_cannot_be_submitted(deployment, place):
    with pytest.raises(NotReady, match=rf"environment-[0-9a-f]{{16}}\.tar\.gz is not in {place}: run make package"):
        packages(deployment)
    assert not place.exists()


def test_code_and_entry_are_put_in_place_once_under_the_name_of_what_is_in_them(deployment, place):
    place.mkdir()
    (place / environment_name()).touch()
    found = packages(deployment)
    entry = (PROJECT / "spark_jobs" / "run_stage.py").read_bytes()
    assert found.entry == f"{place}/run_stage-{hashlib.sha256(entry).hexdigest()[:16]}.py"
    assert found.environment == f"{place}/environment-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}.tar.gz"
    assert Path(found.entry).read_bytes() == entry
    assert re.fullmatch(r"pomona-[0-9a-f]{16}\.zip", Path(found.code).name)
    Path(found.entry).write_text("as it was left")
    assert packages(deployment) == found
    assert Path(found.entry).read_text() == "as it was left"
    assert missing(deployment) == []
    Path(found.code).unlink()
    assert missing(deployment) == [Path(found.code).name]


def test_what_is_proved_and_in_place_is_told_and_left(deployment, place, monkeypatch, capsys):
    proved = []

    def build(_: Path, target: Path) -> None:
        target.write_bytes(b"x" * 2_500_000)

    monkeypatch.setattr(Deployment, "from_environment", lambda: deployment)
    monkeypatch.setattr(environment_archive, "build", build)
    monkeypatch.setattr(package, "prove", lambda archive, code, state: proved.append(archive.name) or "cv2 and faiss at work")
    assert package.main() == ""
    first = capsys.readouterr().out.splitlines()
    assert [line.split()[0].split("-")[0] for line in first] == ["environment", "proof", "environment", "pomona", "run_stage"]
    assert first[2].split(maxsplit=1)[1].startswith(f"2 MB put into {place} (")
    assert package.main() == ""
    assert [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()] == [f"is in {place}"] * 3
    assert proved == [environment_name()]


def test_nothing_is_put_in_place_that_was_not_proved(deployment, place, monkeypatch):
    def fails(*_: object) -> str:
        raise NotReady("the proof failed, so nothing was put in place: ImportError: libGL.so.1")

    monkeypatch.setattr(Deployment, "from_environment", lambda: deployment)
    monkeypatch.setattr(environment_archive, "build", lambda _, target: target.touch())
    monkeypatch.setattr(package, "prove", fails)
    assert package.main().endswith("ImportError: libGL.so.1")
    assert not place.exists()


def test_the_jobs_lock_is_a_part_of_the_main_one_with_the_same_hashes():
    main, job = blocks(PROJECT / "requirements.lock"), blocks(LOCK)
    assert len(job) > 50
    assert {name: job[name] for name in job} == {name: main.get(name) for name in job}
    assert not [line for line in LOCK.read_text().splitlines() if "://" in line or line.startswith("-")]
    assert not {name.split("==")[0] for name in job} & {"pyspark", "pyspark-client", "apache-airflow", "mlflow"}


def test_all_that_the_jobs_import_is_in_their_lock_or_is_the_clusters():
    locked = {name.split("==")[0] for name in blocks(LOCK)}
    owners = metadata.packages_distributions()
    imported = {name.split(".")[0] for path in files(PROJECT / "spark_jobs") for name in imports(path)}
    foreign = imported - set(sys.stdlib_module_names) - _OF_THE_CLUSTER - {"pomona", "run_stage"}
    assert {"cv2", "faiss", "mlflow", "s3fs"} <= foreign
    assert {name for name in foreign if not {owner.lower() for owner in owners[name]} & locked} == set()


def test_a_library_that_asks_for_a_newer_c_library_is_named(tmp_path):
    (tmp_path / "old.so").write_bytes(b"\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.4\0")
    environment_archive.stop_if_too_new(tmp_path)
    (tmp_path / "libnew.so.3").write_bytes(b"\0GLIBC_2.4\0GLIBC_2.35\0")
    with pytest.raises(NotReady, match=r"libnew\.so\.3 needs glibc 2\.35, and EMR 7 has 2\.34"):
        environment_archive.stop_if_too_new(tmp_path)


def test_the_archive_of_the_same_files_has_the_same_bytes_whenever_and_by_whomever_it_is_packed(tmp_path):
    for name, moment, mode in (("one", 1_000_000_000, 0o600), ("two", 1_700_000_000, 0o664)):
        tree = tmp_path / name
        (tree / "lib").mkdir(parents=True)
        for file in ("lib/b.py", "lib/a.py") if name == "one" else ("lib/a.py", "lib/b.py"):
            (tree / file).write_text(file)
            (tree / file).chmod(mode)
            os.utime(tree / file, (moment, moment))
        (tree / "python").symlink_to("/usr/bin/python3.11")
        environment_archive.pack(tree, tree.with_suffix(".tar.gz"))
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    # gzip's own time.
    assert (tmp_path / "one.tar.gz").read_bytes()[4:8] == bytes(4)
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        assert archive.getnames() == ["lib", "lib/a.py", "lib/b.py", "python"]
        assert archive.getmember("python").linkname == "/usr/bin/python3.11"
