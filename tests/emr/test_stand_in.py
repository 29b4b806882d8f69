"""The stand-in for AWS behaves as AWS's documentation says where moto alone does not, and its node takes what spark-submit takes."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emr.aws import Account
from tests.emr.on_serverless import ROLE
from tests.emr.submission import BadSubmission, Submission
from tests.waiting import wait_until

ON_DEMAND = {"TargetOnDemandCapacity": 2, "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}]}
FLEETS = [{"InstanceFleetType": "CORE", **ON_DEMAND}]
STEP = {"Name": "s", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["spark-submit"]}}


@pytest.fixture
def quick(account: Account) -> Account:
    account.ec2.start_s = account.ec2.end_s = 0.1
    return account


def cluster_of(account: Account) -> tuple[Any, str]:
    client = account.client("emr")
    instances = {"KeepJobFlowAliveWhenNoSteps": True, "InstanceFleets": FLEETS}
    return client, client.run_job_flow(Name="n", Instances=instances, AutoTerminationPolicy={"IdleTimeout": 900})["JobFlowId"]


def state_of(client: Any, cluster: str) -> str:
    return str(client.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"])


def test_a_cluster_starts_waits_and_ends_by_and_by(quick: Account) -> None:
    client, cluster = cluster_of(quick)
    assert state_of(client, cluster) == "STARTING"
    wait_until(lambda: state_of(client, cluster) == "WAITING", 10, "ready cluster")
    assert client.get_auto_termination_policy(ClusterId=cluster)["AutoTerminationPolicy"] == {"IdleTimeout": 900}
    kinds = [(one["InstanceType"], one["Market"]) for one in client.list_instances(ClusterId=cluster)["Instances"]]
    assert kinds == [("m5.xlarge", "ON_DEMAND")] * 2
    (step,) = client.add_job_flow_steps(JobFlowId=cluster, Steps=[STEP])["StepIds"]
    client.terminate_job_flows(JobFlowIds=[cluster])
    wait_until(lambda: state_of(client, cluster) == "TERMINATED", 10, "end of the cluster")
    assert client.describe_step(ClusterId=cluster, StepId=step)["Step"]["Status"]["State"] == "CANCELLED"
    with pytest.raises(ClientError, match="may not be modified"):
        client.add_job_flow_steps(JobFlowId=cluster, Steps=[STEP])


def test_a_cluster_that_fails_says_why(quick: Account) -> None:
    quick.ec2.start_failure = ("VALIDATION_ERROR", "no m5.xlarge")
    client, cluster = cluster_of(quick)
    wait_until(lambda: state_of(client, cluster) == "TERMINATED_WITH_ERRORS", 10, "failure")
    reason = client.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["StateChangeReason"]
    assert reason == {"Code": "VALIDATION_ERROR", "Message": "no m5.xlarge"}
    assert quick.ec2.live() == []


def test_a_step_waits_until_somebody_runs_it_and_a_cancelled_one_never_is(quick: Account) -> None:
    client, cluster = cluster_of(quick)
    (step,) = client.add_job_flow_steps(JobFlowId=cluster, Steps=[STEP])["StepIds"]
    assert [one["Status"]["State"] for one in client.list_steps(ClusterId=cluster)["Steps"]] == ["PENDING"]
    (told,) = client.cancel_steps(ClusterId=cluster, StepIds=[step])["CancelStepsInfoList"]
    assert told["Status"] == "SUBMITTED"
    assert client.describe_step(ClusterId=cluster, StepId=step)["Step"]["Status"]["State"] == "CANCELLED"
    (told,) = client.cancel_steps(ClusterId=cluster, StepIds=[step])["CancelStepsInfoList"]
    assert told["Status"] == "FAILED"


def test_a_client_token_starts_one_job_run_however_often_it_is_sent(quick: Account) -> None:
    client, application = quick.client("emr-serverless"), quick.serverless.application
    driver = {"sparkSubmit": {"entryPoint": "s3://b/run.py"}}
    asked = {"applicationId": application, "clientToken": "t", "executionRoleArn": ROLE, "name": "n", "jobDriver": driver}
    run = client.start_job_run(**asked)["jobRunId"]
    assert client.start_job_run(**asked)["jobRunId"] == run
    with pytest.raises(ClientError, match="ConflictException"):
        client.start_job_run(**{**asked, "name": "another"})
    assert [one["state"] for one in client.list_job_runs(applicationId=application)["jobRuns"]] == ["SUBMITTED"]
    client.cancel_job_run(applicationId=application, jobRunId=run)
    assert [one.state for one in quick.serverless.job_runs()] == ["CANCELLING"]


@pytest.mark.parametrize("service", ["emr", "emr-serverless"])
def test_a_throttled_request_is_refused_as_aws_refuses_it(quick: Account, service: str) -> None:
    quick.throttled = 1.0
    client = quick.client(service)
    ask = client.list_clusters if service == "emr" else lambda: client.list_job_runs(applicationId=quick.serverless.application)
    with pytest.raises(ClientError, match="ThrottlingException"):
        ask()
    assert quick.refused.total() == 1


def test_a_step_is_a_spark_submit_to_yarn_whose_settings_become_the_drivers_environment() -> None:
    words = ["--master", "yarn", "--deploy-mode", "cluster", "--name", "job", "--archives", "s3://b/e.tar.gz#environment"]
    conf = [
        "--conf",
        "spark.yarn.appMasterEnv.A=1",
        "--conf",
        "spark.executorEnv.B=2",
        "--conf",
        "spark.x=y=z",
        "--py-files",
        "s3://b/c.zip",
    ]
    found = Submission.of_step(["spark-submit", *words, *conf, "s3://b/run.py", "ingest", "--run", "r"])
    assert (found.name, found.entry, found.words) == ("job", "s3://b/run.py", ["ingest", "--run", "r"])
    assert (found.driver_environment, found.executor_environment) == ({"A": "1"}, {"B": "2"})
    files = {"s3://b/run.py": "/f/run.py", "s3://b/c.zip": "/f/c.zip"}
    assert found.command("submit", "local[2]", files, {}) == [
        *("submit", "--master", "local[2]", "--name", "job", "--conf", "spark.executorEnv.B=2", "--conf", "spark.x=y=z"),
        *("--py-files", "/f/c.zip", "/f/run.py", "ingest", "--run", "r"),
    ]


@pytest.mark.parametrize("args", [["hadoop"], ["spark-submit", "--master", "yarn", "a.py"], ["spark-submit", "--wrong", "x", "a.py"]])
def test_what_spark_submit_on_a_cluster_would_not_take_is_refused(args: list[str]) -> None:
    with pytest.raises(BadSubmission):
        Submission.of_step(args)
