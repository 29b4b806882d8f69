"""`make check-settings` for EMR: what the account lacks, a line for each thing, and a probe only where no cluster would be made for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from pomona_airflow.emr.packages import environment_name
from run import check_settings, checks_on_aws
from tests.s3_server import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of moto's AWS."""
    from moto.server import ThreadedMotoServer

    log = logging.getLogger("werkzeug")
    log.disabled = True
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    moto.start()
    yield f"http://127.0.0.1:{moto._port}"
    moto.stop()
    log.disabled = False


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch):
    """Makes clients of moto's AWS, which begins empty but for the bucket with the packed environment."""
    import boto3
    import httpx

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "moto")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "moto")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    httpx.post(f"{server}/moto-api/reset").raise_for_status()
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key=f"lake/_packages/{environment_name()}", Body=b"packed")
    return boto3.client


@pytest.fixture
def lines(server: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the check with these variables over a deployment on the bucket; its exit code and its lines by what they are about."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")
    monkeypatch.setattr(check_settings, "probe", lambda deployment: "it ran")
    # What MLflow's own check does is told elsewhere: its server is one of this machine here.
    monkeypatch.setattr(checks_on_aws, "_THIS_MACHINE", ())
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (tmp_path / "answer").open("w"))
    places = {"POMONA_LANDING": "s3://bucket/landing", "POMONA_LAKE": "s3://bucket/lake", "POMONA_TRACKING": "http://mlflow:5000"}
    for name, value in {**places, "POMONA_S3_ENDPOINT": server, "POMONA_STATE": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)

    def run(**variables: str) -> tuple[int, dict[str, tuple[str, str]]]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = check_settings.main()
        # In a process of its own Airflow's log is quiet from the start; here it may have begun to talk before.
        told = (line for line in capsys.readouterr().out.splitlines() if line.startswith(("ok ", "missing ")))
        split = (line.split(maxsplit=2) for line in told)
        return code, {name: (state, text) for state, name, text in split}

    return run


def application(client: Any, **changes: Any) -> str:
    made = {"name": "pomona", "releaseLabel": "emr-7.13.0", "type": "SPARK", **changes}
    return str(client("emr-serverless").create_application(**made)["applicationId"])


def cluster(client: Any, **changes: Any) -> str:
    group = {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1, "Name": "primary"}
    asked = {
        "Name": "theirs",
        "ReleaseLabel": "emr-7.13.0",
        "Instances": {"InstanceGroups": [group], "KeepJobFlowAliveWhenNoSteps": True},
        "Tags": [{"Key": "pomona:name", "Value": "landing"}],
        **changes,
    }
    return str(client("emr").run_job_flow(JobFlowRole="j", ServiceRole="s", **asked)["JobFlowId"])


def test_serverless_that_lacks_nothing_submits_the_probe(lines, client: Any) -> None:
    made = application(client)
    code, said = lines(
        POMONA_ENGINE="emr-serverless", POMONA_EMR_APPLICATION=made, POMONA_EMR_JOB_ROLE="arn:aws:iam::123456789012:role/job"
    )
    assert said["probe"] == ("ok", "it ran")
    assert list(said) == ["settings", "landing", "lake", "account", "packages", "emr", "mlflow", "probe"]
    assert (code, {state for state, _ in said.values()}) == (0, {"ok"})
    assert said["account"][1].startswith("account 123456789012, as arn:aws:")
    assert said["emr"][1] == f"application {made} is started, emr-7.13.0"
    assert said["packages"][1] == f"{environment_name()} is in s3://bucket/lake/_packages"


def test_a_cluster_is_not_made_for_a_probe_and_the_line_says_so(lines) -> None:
    code, said = lines(POMONA_ENGINE="emr", POMONA_EMR_SUBNETS="subnet-1", POMONA_EMR_MAX_NODES="4")
    assert code == 0
    assert said["emr"][1].startswith(
        "each run makes its own cluster: emr-7.13.0, 1 m5.xlarge and 2 to 4 m5.xlarge, roles pomona-emr-service"
    )
    assert said["probe"][0] == "ok"
    assert said["probe"][1].startswith("not submitted: a cluster for it alone")


def test_a_given_cluster_runs_the_probe(lines, client: Any) -> None:
    given = cluster(client)
    code, said = lines(POMONA_ENGINE="emr", POMONA_EMR_CLUSTER=given)
    assert (code, said["probe"]) == (0, ("ok", "it ran"))
    assert said["emr"] == ("ok", f"cluster {given} is waiting, emr-7.13.0")


def test_every_lack_on_aws_has_its_line_and_its_remedy(lines, client: Any) -> None:
    client("s3").delete_object(Bucket="bucket", Key=f"lake/_packages/{environment_name()}")
    code, said = lines(POMONA_ENGINE="emr-serverless", POMONA_TRACKING="http://127.0.0.1:5000")
    assert code == 1
    assert {name for name, (state, _) in said.items() if state == "missing"} == {"packages", "emr", "mlflow", "probe"}
    assert said["packages"][1].endswith("is not in s3://bucket/lake/_packages: run make package")
    assert said["emr"][1] == "POMONA_EMR_APPLICATION is not set: the stack of infra/ says what it is"
    assert "which jobs on AWS do not reach" in said["mlflow"][1]


def test_an_application_that_is_not_there_is_named_with_what_aws_says(lines) -> None:
    code, said = lines(POMONA_ENGINE="emr-serverless", POMONA_EMR_APPLICATION="00nowhere", POMONA_EMR_JOB_ROLE="arn:role")
    assert (code, said["emr"][0]) == (1, "missing")
    assert said["emr"][1].startswith("POMONA_EMR_APPLICATION=00nowhere: ")
    assert "does not exist" in said["emr"][1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "ARM64"}, "has emr-7.13.0 on ARM64: the packages need emr-7.10 or a later 7 on X86_64"),
        ({"releaseLabel": "emr-6.15.0"}, "has emr-6.15.0 on X86_64: the packages need emr-7.10"),
        ({"state": "TERMINATED"}, "is TERMINATED: make another"),
        ({"state": "STOPPED", "autoStartConfiguration": {"enabled": False}}, "is STOPPED and does not start by itself"),
    ],
)
def test_an_application_that_cannot_run_the_jobs_is_refused(
    lines, changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.amazon.aws.hooks.emr import EmrServerlessHook

    # moto keeps neither the architecture nor these states.
    told = {"releaseLabel": "emr-7.13.0", "state": "STARTED", "architecture": "X86_64", **changes}
    monkeypatch.setattr(EmrServerlessHook, "get_conn", lambda hook: Mock(get_application=Mock(return_value={"application": told})))
    code, said = lines(POMONA_ENGINE="emr-serverless", POMONA_EMR_APPLICATION="00a", POMONA_EMR_JOB_ROLE="arn:role")
    assert (code, said["emr"][0]) == (1, "missing")
    assert words in said["emr"][1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ReleaseLabel": "emr-6.15.0"}, "has emr-6.15.0: the packages need"),
        ({"Tags": [{"Key": "team", "Value": "vision"}]}, "has no tag pomona:name"),
    ],
)
def test_a_given_cluster_that_cannot_be_used_is_refused(lines, client: Any, changes: dict[str, Any], words: str) -> None:
    code, said = lines(POMONA_ENGINE="emr", POMONA_EMR_CLUSTER=cluster(client, **changes))
    assert (code, said["emr"][0]) == (1, "missing")
    assert words in said["emr"][1]


def test_a_given_cluster_that_has_ended_is_refused(lines, client: Any) -> None:
    given = cluster(client)
    client("emr").terminate_job_flows(JobFlowIds=[given])
    code, said = lines(POMONA_ENGINE="emr", POMONA_EMR_CLUSTER=given)
    assert (code, said["emr"][0]) == (1, "missing")
    assert f"the cluster {given} is TERMINATED" in said["emr"][1]


def test_a_cluster_that_could_be_made_nowhere_is_named(lines) -> None:
    code, said = lines(POMONA_ENGINE="emr", POMONA_EMR_SUBNETS="")
    assert (code, said["emr"][0]) == (1, "missing")
    assert "POMONA_EMR_SUBNETS is not set" in said["emr"][1]


def test_without_credentials_the_account_is_missing(lines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    code, said = lines(POMONA_ENGINE="emr", POMONA_EMR_SUBNETS="subnet-1")
    assert (code, said["account"][0]) == (1, "missing")
    assert said["account"][1] == "AWS does not answer us: check credentials and AWS_DEFAULT_REGION: Unable to locate credentials"


def test_a_password_that_jobs_are_not_given_is_named_and_not_shown(lines, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = lines(POMONA_ENGINE="emr", POMONA_EMR_SUBNETS="subnet-1", MLFLOW_TRACKING_PASSWORD="pear-tree-7")
    assert (code, said["mlflow"][0]) == (1, "missing")
    assert said["mlflow"][1].startswith("MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN is set, which jobs on AWS are not given")
    assert "pear-tree-7" not in str(said)


def test_sagemakers_address_wants_its_package(lines) -> None:
    code, said = lines(
        POMONA_ENGINE="emr",
        POMONA_EMR_SUBNETS="subnet-1",
        POMONA_TRACKING="arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/pomona",
    )
    assert (code, said["mlflow"][0]) == (1, "missing")
    assert "needs the package sagemaker-mlflow" in said["mlflow"][1]
