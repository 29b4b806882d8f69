"""A landing zone on S3: thousands of objects by few requests, objects that change under the reader, and names of every kind."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from pomona import command
from pomona.jobs.ingest import take
from pomona.knobs import resolve
from pomona.labels.annotations import files, gather
from pomona.lake import Lake
from pomona.landing import Landing, Unsteady
from pomona_airflow.deployment import Deployment
from pomona_airflow.spark.engine_local import Engine
from tests.s3.fault_proxy import FaultProxy
from tests.s3_server import Server

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]
Made = Callable[..., FaultProxy]
THOUSANDS = 20_000


def picture(seed: int) -> bytes:
    """A PNG of 8 by 8 pixels, another one for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def taken(landing: Landing, lake: Lake) -> list[dict[str, Any]]:
    """What ingest's transform says of every listed file, in one task."""
    rows = [{"path": file.path, "size": file.size, "version": file.version} for file in landing.files()]
    batches: Iterator[pa.RecordBatch] = iter(pa.Table.from_pylist(rows).to_batches(max_chunksize=2000))
    return [row for batch in take(landing, lake, max_megapixels=1)(batches) for row in batch.to_pylist()]


def test_twenty_thousand_objects_are_listed_by_pages_and_read_once_each(bucket, folder, s3, tmp_path, proxied: Made, capsys):
    for n in range(THOUSANDS):
        kind = folder / "landing" / "Training" / f"kind {n % 20}"
        if n < 20:
            kind.mkdir(parents=True)
        (kind / f"{n:05d}.png").write_bytes(picture(n))
    proxy = proxied()
    environment = {
        "POMONA_NAME": "tests",
        "POMONA_LANDING": f"s3://{bucket}/landing",
        "POMONA_LAKE": f"s3://{bucket}/lake",
        "POMONA_TRACKING": f"sqlite:///{tmp_path}/mlflow.db",
        "POMONA_S3_ENDPOINT": proxy.endpoint,
        "POMONA_S3_REGION": s3.region,
        "POMONA_SPARK_MEMORY": "1g",
    }
    deployment = Deployment.from_environment(environment)
    assert len(Landing(deployment.landing, deployment.s3).files()) == THOUSANDS
    listed = proxy.counts()
    assert dict(listed) == {"list": 20}

    proxy.forget()
    place = command.Place("run", "tests", deployment.lake, deployment.landing, deployment.tracking, deployment.s3.text)
    assert Engine(deployment).run("ingest", command.arguments("ingest", place, resolve({}))) == 0
    asked, pictures = proxy.counts(), Counter(request.kind for request in proxy.requests if "landing" in request.target)
    with capsys.disabled():
        print(f"\n{THOUSANDS:,} objects: listed by {dict(listed)}; the whole ingest asked {dict(asked)}")
    lake = Lake(deployment.lake, "tests", s3)
    outcome = lake.outcome("run", "ingest")
    assert (outcome["counts"]["in"], outcome["counts"]["kept"], outcome["counts"]["rejected"]) == (THOUSANDS, THOUSANDS, 0)
    assert dict(pictures) == {"list": 20, "get": THOUSANDS}
    parts = len(lake.names("parts/images"))
    assert sum(asked.values()) - sum(pictures.values()) < 60 + 2 * parts


def test_an_object_replaced_between_listing_and_reading_is_neither_of_the_two(bucket, server: Server, s3):
    client = server.client()
    client.put_object(Bucket=bucket, Key="Training/a/same-size.png", Body=b"11")
    client.put_object(Bucket=bucket, Key="Training/a/longer.png", Body=b"11")
    client.put_object(Bucket=bucket, Key="Training/a/gone.png", Body=b"11")
    client.put_object(Bucket=bucket, Key="Training/a/left-alone.png", Body=b"11")
    landing = Landing(f"s3://{bucket}", s3)
    gone, left_alone, longer, same_size = landing.files()
    client.put_object(Bucket=bucket, Key="Training/a/same-size.png", Body=b"22")
    client.put_object(Bucket=bucket, Key="Training/a/longer.png", Body=b"222")
    client.delete_object(Bucket=bucket, Key="Training/a/gone.png")
    for file, why in ((same_size, "changed"), (longer, "changed"), (gone, "vanished")):
        with pytest.raises(Unsteady, match=why):
            landing.read(file.path, file.size, file.version)
    assert landing.read(left_alone.path, left_alone.size, left_alone.version) == b"11"


def test_objects_overwritten_while_they_are_taken_in_are_taken_whole_or_looked_at_again(bucket, server: Server, s3):
    old, new, client = picture(1), picture(2), server.client()
    for n in range(50):
        client.put_object(Bucket=bucket, Key=f"landing/Training/a/{n:02d}.png", Body=old)
    landing, lake = Landing(f"s3://{bucket}/landing", s3), Lake(f"s3://{bucket}/lake", "tests", s3)
    read, replaced = Landing.read, []

    def overwriting(self: Landing, path: str, size: int, version: str) -> bytes:
        if int(path[-6:-4]) % 2:
            client.put_object(Bucket=bucket, Key=f"landing/{path}", Body=new)
            replaced.append(path)
        return read(self, path, size, version)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Landing, "read", overwriting)
        rows = taken(landing, lake)
    assert len(replaced) == 25
    for row in rows:
        if row["path"] in replaced:
            assert (row["reason"], row["final"], row["content"]) == ("changed while it was read", False, None)
        else:
            assert row["content"] is not None
    assert {row["content"] for row in taken(landing, lake)} == {*(row["content"] for row in rows if row["content"]), _sha(new)}


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_name_is_a_name_and_what_stands_for_a_folder_is_none(bucket, server: Server, s3):
    names = ["Training/ü ö/a+b%20c?versionId=3.png", "Training/b/\u200bé.png", "Training/a#b/1&2=3.png", "Training/c/x.PNG"]
    client = server.client()
    for name in [*names, "Training/", "Training/empty folder/"]:
        client.put_object(Bucket=bucket, Key=name, Body=b"" if name.endswith("/") else name.encode())
    landing = Landing(f"s3://{bucket}", s3)
    assert {file.path: landing.read(file.path, file.size, file.version).decode() for file in landing.files()} == dict(
        zip(names, names, strict=True)
    )


def test_an_empty_prefix_has_no_files(bucket, s3):
    assert Landing(f"s3://{bucket}/nothing/here", s3).files() == []


def test_a_listing_is_never_an_old_one(bucket, server: Server, s3):
    landing, client = Landing(f"s3://{bucket}", s3), server.client()
    for n in range(1, 4):
        client.put_object(Bucket=bucket, Key=f"Training/a/{n}.png", Body=b"1")
        assert len(landing.files()) == n


def test_a_fork_asks_by_connections_of_its_own(bucket, s3):
    script = (
        "import os, sys\nfrom pomona.lake import Lake\nfrom pomona.s3 import S3\n"
        "lake = Lake(f's3://{sys.argv[1]}', 'n', S3(sys.argv[2], 'us-east-1')).open()\n"
        "children = []\n"
        "for n in range(8):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        for m in range(5): lake.put(f'{n}/{m}', bytes(1000) + bytes([n, m]))\n"
        "        os._exit(0 if all(lake.get(f'{n}/{m}')[-2:] == bytes([n, m]) for m in range(5)) else 1)\n"
        "    children.append(child)\n"
        "sys.exit(sum(os.waitpid(child, 0)[1] for child in children))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, bucket, s3.endpoint], capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")


def test_labels_in_a_bucket_are_read_and_as_old_as_their_objects(bucket, server: Server, s3):
    labels = Landing(f"s3://{bucket}/labels", s3)
    assert files(labels) == []
    before = datetime.now(UTC) - timedelta(seconds=2)
    server.client().put_object(Bucket=bucket, Key="labels/box 2/anna.csv", Body=b"path,label\nunlabelled/1.jpg,Lime\n")
    server.client().put_object(Bucket=bucket, Key="labels/readme.txt", Body=b"no labels")
    (said,) = gather(labels, files(labels)).annotations
    assert said[:4] == ("", "unlabelled/1.jpg", "Lime", "anna")
    assert before <= datetime.fromisoformat(said.at) <= datetime.now(UTC) + timedelta(seconds=2)
