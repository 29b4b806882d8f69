"""The whole chain on S3 makes the very model that it makes in a folder, through a faulty network too; nothing it writes is public."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pomona import command
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.s3 import S3
from pomona.stages import STAGES
from pomona_airflow.spark.engine_local import Engine
from tests.conftest import SMALL, Runs
from tests.s3_server import deployment_of

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]
FITTED = ("vocabulary", "encoder", "model")


def chained(folder: Path, bucket: str, s3: S3) -> Lake:
    """The lake of one run of every stage, each a spark-submit as Airflow starts it."""
    deployment = deployment_of(bucket, s3, folder)
    place = command.Place("run", "tests", deployment.lake, deployment.landing, deployment.tracking, deployment.s3.text)
    lake = Lake(deployment.lake, "tests", deployment.s3)
    for stage in STAGES:
        code = Engine(deployment).run(stage, command.arguments(stage, place, resolve(SMALL)))
        assert code == 0, f"{stage}: {lake.outcome('run', stage)}"
    return lake


@pytest.fixture
def uploaded(landing: Path, folder: Path) -> None:
    """The orchard in the bucket, as if somebody had put it there."""
    shutil.copytree(landing, folder / "landing")


@pytest.fixture(scope="module")
def expected(spark: Any, orchard: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the chain fits from and in a folder."""
    runs = Runs(tmp_path_factory.mktemp("local"), orchard)
    runs.through("run", "train")
    return runs.hashes("run")


def fitted(lake: Lake) -> dict[str, str]:
    return {name: lake.files("run", name)[0].sha256 for name in FITTED}


def test_the_chain_on_s3_fits_what_it_fits_in_a_folder(uploaded, expected, bucket, s3, tmp_path):
    lake = chained(tmp_path, bucket, s3)
    assert fitted(lake) == expected
    assert lake.document("runs/run/summary.json")["counts"]["kept"] == 60


def test_a_tenth_of_the_requests_failing_changes_nothing(uploaded, expected, bucket, s3, tmp_path, proxied, capsys):
    proxy = proxied(share=0.1)
    lake = chained(tmp_path, bucket, S3(proxy.endpoint, s3.region, "AES256"))
    asked, met = proxy.counts(), Counter(proxy.met)
    with capsys.disabled():
        print(f"\n{sum(asked.values())} requests {dict(asked)}, faults met {dict(met)}")
    assert fitted(Lake(lake.root, lake.name, s3)) == expected
    faulty = sum(met.values()) - met["none"]
    assert 0.05 < faulty / sum(met.values()) < 0.2
    assert all(met[fault] for fault in ("500", "503", "reset", "lost", "cut", "delay")), met
    written = [request for request in proxy.requests if request.kind in ("put", "create")]
    assert {request.headers.get("x-amz-server-side-encryption") for request in written} == {"AES256"}
    assert not [request for request in proxy.requests if any(name.startswith(("x-amz-acl", "x-amz-grant")) for name in request.headers)]
    assert not [request for request in proxy.requests if "acl" in request.target.split("?")[-1]]
