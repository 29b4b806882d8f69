"""A lake in a bucket is tidied by the store's own clock, and an image of it forgotten: the same as in a folder."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from pomona import command, lease, tracking
from pomona.care.forgetting import forget
from pomona.jobs import tidy
from pomona.lake import Lake
from pomona.s3 import S3
from pomona.work import Work
from run_stage import done
from tests.conftest import PROJECT
from tests.traces import traces
from tests.whole_lake import faults, misnamed

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]


def test_a_lake_in_a_bucket_is_tidied_and_an_image_of_it_forgotten(
    bucket: str, s3: S3, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of it was written a second ago.
    monkeypatch.setattr(tidy, "GRACE_S", -3600.0)
    at = Lake(f"s3://{bucket}/lake", "tests", s3)
    with tarfile.open(PROJECT / "tests" / "old_lake" / "lake.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    for file in (tmp_path / "lake" / "tests").rglob("*.*"):
        if file.is_file():
            at.put(file.relative_to(tmp_path / "lake" / "tests").as_posix(), file.read_bytes())
    failed = {"format": 1, "run": "gone", "stage": "ingest", "created": "2020-01-01T00:00:00+00:00", "datasets": {}}
    at.put("runs/gone/manifests/ingest.json", json.dumps(failed).encode())
    tracking.connect(f"sqlite:///{tmp_path}/mlflow.db")
    place = command.Place("tidying", "tests", f"s3://{bucket}/lake", "landing", f"sqlite:///{tmp_path}/mlflow.db", s3.text)
    order = command.parse(command.tidy_arguments(place, keep_runs=1, events="", dry=False))
    with lease.hold(at, "tidy"):
        result = done(Work(order, at))
    assert result.line.startswith("1 of 2 runs gone; 8 parts before, 2 after; ")
    assert at.folders("runs") == ["older", "tidying"]
    assert len(at.below("parts")) == 2
    assert faults(at) == misnamed(at) == []

    image = (tmp_path / "landing" / "Training" / "Apple" / "r0_2_100.jpg").read_bytes()
    lake = folder / "lake" / "tests"
    assert {what for found in traces(image, lake).values() for what in found} >= {"name", "image"}
    entry = forget(at, place.tracking, hashlib.sha256(image).hexdigest(), by="person (ann)", reason="")
    assert entry["runs"] == ["older"]
    assert traces(image, lake) == {"forgotten/000001.json": {"name"}}
    assert faults(at) == misnamed(at) == []
