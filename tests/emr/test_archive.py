"""The packed environment and the zip, as a cluster has them: proved in a clean root, put on S3; PySpark 3.5 fits what 4 fits."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from demo.orchard import KINDS, draw
from pomona.lake import Lake
from pomona_airflow.code_zip import code_zip
from pomona_airflow.deployment import NotReady
from pomona_airflow.spark.java import java_home
from run import clean_root, environment_archive
from tests import spark35
from tests.conftest import PROJECT, SMALL
from tests.s3_server import Server

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]
STATE = PROJECT / ".pomona"
FITTED = {"vocabulary", "encoder", "model"}


@pytest.fixture(scope="session")
def archive() -> Path:
    return environment_archive.kept(STATE)


@pytest.fixture(scope="session")
def code() -> Path:
    return code_zip(STATE / "code")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A few packages of the lock, a compiled one among them: all of them take minutes."""
    lock = tmp_path / "requirements-job.lock"
    lock.write_text(spark35.blocks((PROJECT / "requirements-job.lock").read_text(), ["threadpoolctl", "pyyaml", "jinja2", "markupsafe"]))
    return lock


def test_all_that_jobs_import_imports_in_a_clean_root(archive, code):
    if clean_root.why_none():
        pytest.skip(clean_root.why_none())
    said = clean_root.prove(archive, code, STATE)
    assert re.fullmatch(r"cv2 5\.\S+, faiss 1\.\S+, numpy \S+, scikit-learn \S+ at work; .*, Python 3\.11\.\d+, in a clean Debian 12", said)
    modules, foreign = map(int, re.search(r"(\d+) modules of pomona and (\d+) of others", said).groups())
    assert (modules > 40, foreign > 20) == (True, True)


def test_an_archive_that_lacks_something_is_refused_with_what_it_lacks(few, code, tmp_path, monkeypatch):
    # Here and not in a clean root: what is in no lock is missing anywhere.
    monkeypatch.setattr(clean_root, "why_none", lambda: "the test wants it so")
    archive = environment_archive.build(few, tmp_path / "environment.tar.gz")
    with pytest.raises(NotReady, match="the proof failed, so nothing was put in place: ModuleNotFoundError: No module named 'PIL'"):
        clean_root.prove(archive, code, tmp_path / "state")


def test_no_library_asks_for_a_newer_c_library_than_the_release_has():
    tree = spark35.python().parents[1]
    assert (2, 4) < environment_archive.newest_glibc(tree)[0] <= (2, 34)
    tags = [[int(minor) for minor in re.findall(r"manylinux_2_(\d+)_", file.read_text())] for file in tree.rglob("*.dist-info/WHEEL")]
    assert len(tags) > 50
    assert 20 < max(min(minors) for minors in tags if minors) <= 34


def test_the_same_lock_gives_the_same_bytes(few, tmp_path):
    one, two = (environment_archive.build(few, tmp_path / name / "environment.tar.gz").read_bytes() for name in ("one", "elsewhere"))
    assert one == two
    # Both may have been made within one second, which gzip would note here.
    assert one[4:8] == bytes(4)


def test_make_package_puts_the_three_on_s3_and_a_second_call_finds_them(server: Server, archive):
    server.make_bucket("packages")

    def make(place: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **server.environment, "POMONA_S3_ENDPOINT": server.endpoint, "POMONA_EMR_PACKAGES": place}
        words = [sys.executable, "-m", "run.package"]
        return subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)

    first = make("s3://packages/emr")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.count(" put into s3://packages/emr (") == 3
    objects = {entry["Key"]: entry["Size"] for entry in server.client().list_objects_v2(Bucket="packages")["Contents"]}
    assert objects[f"emr/{archive.name}"] == archive.stat().st_size
    assert len(objects) == 3
    began = time.monotonic()
    second = make("s3://packages/emr")
    assert second.stdout.count(" is in s3://packages/emr\n") == len(second.stdout.splitlines()) == 3
    assert time.monotonic() - began < 30
    wrong = make("s3://no-such-bucket/emr")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("s3://no-such-bucket/emr at ")
    assert len(wrong.stderr.splitlines()) == 1


def test_both_sparks_fit_the_same_from_the_zip_as_from_the_folder(tmp_path, code):
    """3.5 has the package in a zip and the packed environment, 4 has folders and the locked one."""
    landings = [tmp_path / "first", tmp_path / "second"]
    draw(landings[0], frames=10, kinds=list(KINDS)[:3], bad=False)
    shutil.copytree(landings[0], landings[1])
    next(landings[1].glob("Train*/*/*.jpg")).unlink()
    entry = tmp_path / "entry" / "run_stage.py"
    entry.parent.mkdir()
    shutil.copyfile(PROJECT / "spark_jobs" / "run_stage.py", entry)
    old = two_runs(tmp_path / "3.5", landings, entry, spark35.python(), spark35.variables(), "--py-files", str(code))
    installed = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_", "PYTHON"))}
    new = two_runs(tmp_path / "4", landings, PROJECT / "spark_jobs" / "run_stage.py", Path(sys.executable), installed)
    assert (old["spark"], new["spark"]) == ("3.5.6", "4.2.0")
    assert (Path(old["package"]).parents[1].name, new["package"]) == (code.name, str(PROJECT / "spark_jobs/pomona/__init__.py"))
    assert old["code"] == new["code"]
    assert old["hashes"] == new["hashes"]
    # The champion answered in Spark, from its own code, on both.
    assert old["verdict"] == new["verdict"]
    assert (old["verdict"]["champion"], old["verdict"]["figures"]["n_images"]) == (1, 30)
    assert old["verdict"]["figures"]["champion_accuracy"] > 0.5
    assert "<html" in old["report"]


def two_runs(folder: Path, landings: list[Path], entry: Path, python: Path, variables: dict[str, str], *flags: str) -> dict[str, Any]:
    """What two runs on a new lake made, on the Spark that the variables lead to, or else on the Python's own."""
    folder.mkdir()
    lake, tracking = folder / "lake", f"sqlite:///{folder}/mlflow.db"
    submit = Path(variables["SPARK_HOME"]) / "bin" if "SPARK_HOME" in variables else python.parent
    conf = ("spark.ui.enabled=false", "spark.driver.host=127.0.0.1", "spark.sql.shuffle.partitions=4")
    words = [str(submit / "spark-submit"), "--master", "local[2]", *flags, *(word for one in conf for word in ("--conf", one))]
    environment = {
        **variables,
        **{name: str(python) for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")},
        "JAVA_HOME": str(java_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    arguments = [str(PROJECT / "tests/emr/two_runs.py"), str(entry), str(lake), tracking, json.dumps(SMALL), *map(str, landings)]
    done = subprocess.run([*words, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    made = Lake(str(lake), "tests").open()
    hashes = {f"{run} {name}": made.files(run, name)[0].sha256 for run in ("run-1", "run-2") for name in FITTED}
    assert len(set(hashes.values())) == 2 * len(FITTED)
    report = Path(made.location("runs/run-2/report.html")).read_text(encoding="utf-8")
    verdict = made.document(made.files("run-2", "verdict")[0].path)
    return {**json.loads(done.stdout.splitlines()[-1]), "hashes": hashes, "report": report, "verdict": verdict}
