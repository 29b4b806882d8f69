"""What no retry mends ends a stage at once: exit code 2, one line with place, fault and remedy, and few requests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pomona import command
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.s3 import S3
from pomona_airflow.deployment import Deployment
from pomona_airflow.spark.engine_local import Engine
from pomona_airflow.stage_operator import StageOperator
from tests import s3_server
from tests.conftest import PROJECT, SMALL
from tests.s3.fault_proxy import FaultProxy, Request
from tests.s3_server import deployment_of

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
# Nobody listens on port 1.
NOBODY = "http://127.0.0.1:1"
Made = Callable[..., FaultProxy]


def words(deployment: Deployment, stage: str) -> list[str]:
    place = command.Place("run", "tests", deployment.lake, deployment.landing, deployment.tracking, deployment.s3.text)
    return command.arguments(stage, place, resolve({**SMALL, "max_reject_share": 1}))


def ended(bucket: str, s3: S3, folder: Path, *, stage: str = "ingest", **environment: str | None) -> tuple[int, str]:
    """Exit code and last line of the stage's own process, which never comes to Spark; nothing but lines was said."""
    merged = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, PROJECT / "spark_jobs" / "run_stage.py", *words(deployment_of(bucket, s3, folder), stage)],
        env={name: value for name, value in merged.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr).strip().splitlines()
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done.returncode, said[-1]


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody"}, f"does not know the access key (XAdminUserNotFound): {KEYS}"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, f"refuses the secret key (SignatureDoesNotMatch): {KEYS}"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, f"finds no credentials (NoCredentialsError): {KEYS}"),
    ],
)
def test_wrong_and_missing_keys(bucket, s3, tmp_path, proxied: Made, environment, line):
    proxy = proxied()
    code, said = ended(bucket, S3(proxy.endpoint, s3.region), tmp_path, **environment)
    assert code == 2
    assert line in said
    assert f"s3://{bucket}/lake/tests at {proxy.endpoint}" in said
    assert len(proxy.requests) <= 2


@pytest.mark.parametrize(
    ("kinds", "status", "error", "line", "most"),
    [
        (("get", "put", "create", "list", "head"), 400, "ExpiredToken", "has expired (ExpiredToken): renew AWS_SESSION_TOKEN", 2),
        (
            ("get", "put", "create", "list", "head"),
            403,
            "InvalidAccessKeyId",
            f"does not know the access key (InvalidAccessKeyId): {KEYS}",
            2,
        ),
        (("put", "create"), 403, "AccessDenied", "denies access (AccessDenied: AccessDenied it is): give this user s3:ListBucket", 6),
        (("put", "create"), 507, "InsufficientStorage", "is full (InsufficientStorage): make room", 6),
    ],
)
def test_refusals_are_not_asked_again(bucket, s3, tmp_path, proxied: Made, kinds, status, error, line, most):
    proxy = proxied(refuse=lambda request: (status, error) if request.kind in kinds else None)
    code, said = ended(bucket, S3(proxy.endpoint, s3.region), tmp_path)
    assert (code, line in said) == (2, True), said
    assert len(proxy.requests) <= most, proxy.counts()


def test_a_missing_bucket(s3, tmp_path, proxied: Made):
    proxy = proxied()
    code, said = ended("there-is-no-such-bucket", S3(proxy.endpoint, s3.region), tmp_path)
    assert (code, "does not exist (NoSuchBucket): make the bucket, or set POMONA_LAKE" in said) == (2, True), said
    assert len(proxy.requests) <= 3


def test_a_missing_bucket_of_the_landing_zone(bucket, s3, tmp_path):
    deployment = deployment_of(bucket, s3, tmp_path)
    place = command.Place("run", "tests", deployment.lake, "s3://there-is-no-such-bucket/x", deployment.tracking, s3.text)
    order = command.arguments("ingest", place, resolve(SMALL))
    done = subprocess.run([sys.executable, PROJECT / "spark_jobs" / "run_stage.py", *order], capture_output=True, text=True, check=False)
    assert (done.returncode, "s3://there-is-no-such-bucket/x at " in done.stdout) == (2, True), done.stdout + done.stderr
    outcome = Lake(deployment.lake, "tests", s3).outcome("run", "ingest")
    assert (outcome["status"], "does not exist (NoSuchBucket)" in outcome["line"]) == ("bad_input", True)


def test_nobody_at_the_endpoint(bucket, tmp_path):
    started = time.monotonic()
    code, said = ended(bucket, S3(NOBODY, "us-east-1"), tmp_path)
    assert (code, "cannot be reached (EndpointConnectionError): check POMONA_S3_ENDPOINT" in said) == (1, True), said
    assert "Traceback" not in said
    assert time.monotonic() - started < 90


def test_a_full_disk_behind_the_server(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        server = s3_server.start(disk)
        try:
            bucket = server.make_bucket("full")
            (bucket / "ballast").write_bytes(bytes(900_000))
            lake = Lake("s3://full/lake", "tests", S3(server.endpoint, server.region)).open()
            with pytest.raises(ValueError, match=r"s3://full/lake/tests at \S+ is full \(QuotaExceeded\): make room or raise the quota"):
                lake.put("parts/x", bytes(300_000))
            assert lake.names("parts") == []
        finally:
            server.stop()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_token_that_expires_while_workers_read_is_one_line(bucket, folder, landing, s3, tmp_path, proxied: Made, capsys):
    shutil.copytree(landing, folder / "landing")
    read: list[Request] = []

    def expired(request: Request) -> tuple[int, str] | None:
        if request.kind == "get" and "/landing/" in request.path:
            read.append(request)
        return (400, "ExpiredToken") if len(read) > 20 else None

    proxy = proxied(refuse=expired)
    deployment = deployment_of(bucket, S3(proxy.endpoint, s3.region), tmp_path)
    lake = Lake(deployment.lake, "tests", s3)
    assert Engine(deployment).run("ingest", words(deployment, "ingest")) == 2
    # The lake that would keep the outcome is refused as well: nothing stands in it, and what was asked in vain was little.
    assert (lake.outcome("run", "ingest"), lake.last_number("snapshots")) == (None, 0)
    assert len(read) <= 40
    assert len({request.path for request in read}) == len(read), "a picture was asked for twice"
    assert len(re.findall(r"ingest: s3://\S+ at \S+ was asked with a session token that has expired", capsys.readouterr().out)) == 1

    proxy.refuse = lambda request: None
    assert Engine(deployment).run("ingest", words(deployment, "ingest")) == 0
    assert lake.entry("snapshots", 1) is not None

    asked: list[Request] = []

    def expired_later(request: Request) -> tuple[int, str] | None:
        if request.kind == "get" and "/parts/images/" in request.path:
            asked.append(request)
        return (400, "ExpiredToken") if len(asked) > 2 else None

    proxy.refuse = expired_later
    assert Engine(deployment).run("describe", words(deployment, "describe")) == 2
    assert len(re.findall(r"describe: s3://\S+ at \S+ was asked with a session token that has expired", capsys.readouterr().out)) == 1
    assert 2 < len(asked) <= 20


def test_the_task_says_the_line_and_is_not_retried(bucket, s3, tmp_path, monkeypatch):
    variables = {
        "POMONA_NAME": "tests",
        "POMONA_LANDING": f"s3://{bucket}/landing",
        "POMONA_LAKE": "s3://there-is-no-such-bucket",
        "POMONA_S3_ENDPOINT": s3.endpoint,
        "POMONA_STATE": str(tmp_path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run = SimpleNamespace(run_type="manual", triggering_user_name="somebody", consumed_asset_events=[])
    with pytest.raises(
        AirflowFailException, match=r"^ingest: s3://there-is-no-such-bucket/tests at \S+ does not exist .NoSuchBucket.: make"
    ):
        StageOperator(stage="ingest").execute({"run_id": "r", "params": {}, "dag_run": run})
