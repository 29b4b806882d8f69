"""Credentials that expire: their session token goes the same hidden way as the keys (the S3 server of the other suites takes none)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from pomona import command
from pomona.knobs import resolve
from pomona_airflow.deployment import Deployment
from pomona_airflow.spark import s3_jars
from tests.conftest import PROJECT, SMALL
from tests.secret_watch import Passersby, holders

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]
SECRETS = ("recognisable-secret-key-of-a-role", "recognisable-session-token-of-a-role")
SUBMIT = """
import sys; from pomona_airflow.deployment import Deployment
from pomona_airflow.spark.engine_local import Engine
sys.exit(Engine(Deployment.from_environment()).run(sys.argv[1], sys.argv[1:]))
"""


def test_a_session_token_shows_nowhere(landing: Path, tmp_path: Path) -> None:
    from moto.server import ThreadedMotoServer

    s3_jars.fetch(Deployment.from_environment({}).s3_jars)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        keys = {"AWS_ACCESS_KEY_ID": "ASIATESTS", "AWS_SECRET_ACCESS_KEY": SECRETS[0], "AWS_SESSION_TOKEN": SECRETS[1]}
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        client.create_bucket(Bucket="lake")
        environment = {
            **os.environ,
            **keys,
            "POMONA_NAME": "token",
            "POMONA_LAKE": "s3://lake/lakes",
            "POMONA_LANDING": str(landing),
            "POMONA_S3_ENDPOINT": endpoint,
            "POMONA_S3_REGION": "us-east-1",
            "POMONA_SPARK_MEMORY": "1g",
            "POMONA_SPARK_EVENTS": str(tmp_path / "events"),
            "POMONA_STATE": str(PROJECT / ".pomona"),
        }
        deployment = Deployment.from_environment(environment)
        place = command.Place("r", "token", deployment.lake, deployment.landing, deployment.tracking, deployment.s3.text)
        with Passersby() as passersby:
            for stage in ("ingest", "describe"):
                with (tmp_path / f"{stage}.log").open("wb") as log:
                    words = command.arguments(stage, place, resolve(SMALL))
                    done = subprocess.run([sys.executable, "-c", SUBMIT, *words], env=environment, stdout=log, stderr=log, check=False)
                assert done.returncode == 0, (tmp_path / f"{stage}.log").read_text()
        for entry in client.list_objects_v2(Bucket="lake")["Contents"]:
            target = tmp_path / "lake" / entry["Key"]
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_file("lake", entry["Key"], str(target))
    finally:
        server.stop()
    assert any(b"run_stage.py" in line for line in passersby.seen)
    assert [line for line in passersby.seen if any(secret.encode() in line for secret in SECRETS)] == []
    assert (tmp_path / "lake" / "lakes" / "token" / "runs" / "r" / "outcomes" / "describe.json").is_file()
    assert len([path for path in (tmp_path / "events").rglob("*") if path.is_file()]) >= 2
    assert holders(tmp_path, SECRETS) == []
