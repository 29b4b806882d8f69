"""The stack for AWS: lint finds nothing, every right has its reason, and what Airflow may is what the plugins ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pomona_airflow.deployment import Deployment

PROJECT = Path(__file__).resolve().parents[1]
TEMPLATE = PROJECT / "infra" / "pomona.yaml"
# Every call that the plugins and check-settings make of AWS beside S3's, by the method's name in the client, and the rights that it takes.
CALLS = {
    "add_job_flow_steps": {"elasticmapreduce:AddJobFlowSteps"},
    "cancel_steps": {"elasticmapreduce:CancelSteps"},
    "describe_cluster": {"elasticmapreduce:DescribeCluster"},
    "describe_step": {"elasticmapreduce:DescribeStep"},
    "list_clusters": {"elasticmapreduce:ListClusters"},
    "list_instances": {"elasticmapreduce:ListInstances"},
    "list_steps": {"elasticmapreduce:ListSteps"},
    # With tags, an idle policy and bounds of scaling; two roles are handed over, and the account's first cluster makes EMR's own.
    "run_job_flow": {
        "elasticmapreduce:RunJobFlow",
        "elasticmapreduce:AddTags",
        "elasticmapreduce:PutAutoTerminationPolicy",
        "elasticmapreduce:PutManagedScalingPolicy",
        "iam:PassRole",
        "iam:CreateServiceLinkedRole",
    },
    "terminate_job_flows": {"elasticmapreduce:TerminateJobFlows"},
    "cancel_job_run": {"emr-serverless:CancelJobRun"},
    "get_application": {"emr-serverless:GetApplication"},
    "get_dashboard_for_job_run": {"emr-serverless:GetDashboardForJobRun"},
    "get_job_run": {"emr-serverless:GetJobRun"},
    "list_job_runs": {"emr-serverless:ListJobRuns"},
    # With tags, the job's role handed over, and an application that may have stopped.
    "start_job_run": {"emr-serverless:StartJobRun", "emr-serverless:StartApplication", "emr-serverless:TagResource", "iam:PassRole"},
    "delete_message_batch": {"sqs:DeleteMessage"},
    "receive_message": {"sqs:ReceiveMessage"},
    # Anybody may ask who he is.
    "get_caller_identity": set(),
}
# What `pomona.bucket` asks of S3: heads and gets, puts (in parts too), listings, removals.
S3_RIGHTS = {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}


@cache
def template() -> dict[str, Any]:
    from cfnlint.decode import cfn_yaml

    return dict(json.loads(json.dumps(cfn_yaml.load(str(TEMPLATE)))))


def resource(name: str) -> dict[str, Any]:
    return dict(template()["Resources"][name]["Properties"])


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy document with the name of its resource."""
    for name, declared in template()["Resources"].items():
        properties = declared.get("Properties", {})
        for key in ("PolicyDocument", "AssumeRolePolicyDocument"):
            if key in properties:
                yield name, properties[key]
        for policy in properties.get("Policies", ()):
            yield name, policy["PolicyDocument"]


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, document in documents():
        for statement in document["Statement"]:
            yield name, statement


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def rights(name: str) -> set[str]:
    """All that the resource's policy allows."""
    return {action for owner, statement in statements() if owner == name for action in listed(statement["Action"])}


def reasons() -> dict[int, str]:
    """The comment above each `- Sid:` of the file, by line; empty where there is none."""
    lines = TEMPLATE.read_text().splitlines()
    return {
        number: lines[number - 1].strip().removeprefix("# ") if lines[number - 1].strip().startswith("# ") else ""
        for number, line in enumerate(lines)
        if line.strip().startswith("- Sid:")
    }


def test_lint_finds_nothing() -> None:
    from cfnlint.api import lint_file

    assert [str(match) for match in lint_file(TEMPLATE)] == []


def test_every_statement_has_its_reason_in_a_line() -> None:
    assert len(reasons()) == len(list(statements()))
    assert all(len(reason) > 30 for reason in reasons().values())


def test_every_statement_has_a_sid_and_names_its_actions() -> None:
    for name, statement in statements():
        assert re.fullmatch(r"[A-Za-z0-9]+", statement["Sid"]), name
        if statement["Effect"] == "Allow":
            assert not [action for action in listed(statement["Action"]) if "*" in action], statement["Sid"]


def test_a_resource_that_is_everything_says_why() -> None:
    everything = [statement["Sid"] for _, statement in statements() if statement.get("Resource") == "*"]
    assert everything == ["ListClusters", "CreateClusters"]
    lines = TEMPLATE.read_text().splitlines()
    for number, reason in reasons().items():
        if lines[number].split()[-1] in everything:
            assert "it is *" in reason


def test_airflow_may_do_what_the_plugins_call_and_nothing_else() -> None:
    sources = [*(PROJECT / "plugins" / "pomona_airflow").rglob("*.py"), *(PROJECT / "run").glob("*.py")]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    called = set(re.findall(r"client\.(?!get_paginator|get_conn)([a-z_]+)\(", text)) | set(re.findall(r'get_paginator\("(\w+)"\)', text))
    assert called <= set(CALLS), "a call that this test does not know: give Airflow the right in infra/pomona.yaml, with its reason"
    assert set(CALLS) <= called, "a call that nobody makes any more: take the right away"
    assert rights("AirflowPolicy") == set().union(*CALLS.values()) | S3_RIGHTS


def test_jobs_may_use_the_bucket_and_nothing_else() -> None:
    assert rights("JobsPolicy") == S3_RIGHTS
    written = [
        (action, where)
        for owner, statement in statements()
        for action in listed(statement["Action"])
        for where in listed(statement.get("Resource"))
        if owner == "JobsPolicy" and action in ("s3:PutObject", "s3:DeleteObject")
    ]
    assert {(action, where["Fn::Sub"]) for action, where in written} == {
        ("s3:PutObject", "${Bucket.Arn}/lake/*"),
        ("s3:DeleteObject", "${Bucket.Arn}/lake/*"),
        ("s3:PutObject", "${Bucket.Arn}/logs/*"),
    }


def test_a_role_is_passed_to_one_service_only() -> None:
    passed = {
        (owner, json.dumps(statement["Resource"]), statement["Condition"]["StringEquals"]["iam:PassedToService"])
        for owner, statement in statements()
        if statement["Action"] == "iam:PassRole"
    }
    assert passed == {
        ("ServiceRole", '{"Fn::GetAtt": ["InstanceRole", "Arn"]}', "ec2.amazonaws.com"),
        ("AirflowPolicy", '{"Fn::GetAtt": ["InstanceRole", "Arn"]}', "ec2.amazonaws.com"),
        ("AirflowPolicy", '{"Fn::GetAtt": ["ServiceRole", "Arn"]}', "elasticmapreduce.amazonaws.com"),
        ("AirflowPolicy", '{"Fn::GetAtt": ["JobRole", "Arn"]}', "emr-serverless.amazonaws.com"),
    }


def test_only_clusters_with_pomonas_tag_are_made_and_ended() -> None:
    conditions = {statement["Sid"]: statement.get("Condition") for owner, statement in statements() if owner == "AirflowPolicy"}
    assert conditions["CreateClusters"] == {"StringLike": {"elasticmapreduce:RequestTag/pomona:name": "*"}}
    assert conditions["WorkOnOwnClusters"] == {"StringLike": {"elasticmapreduce:ResourceTag/pomona:name": "*"}}


def test_the_bucket_refuses_whoever_comes_without_tls() -> None:
    (statement,) = resource("BucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Principal"]) == ("Deny", "s3:*", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}/*"}]


def test_only_this_accounts_bucket_may_put_events_into_the_queue() -> None:
    (statement,) = resource("QueuePolicy")["PolicyDocument"]["Statement"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "s3.amazonaws.com"}, "sqs:SendMessage")
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    named = resource("Bucket")["BucketName"]["Fn::Sub"]
    assert statement["Condition"]["ArnEquals"] == {"aws:SourceArn": {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{named}"}}


def test_the_bucket_outlives_the_stack() -> None:
    assert template()["Resources"]["Bucket"]["DeletionPolicy"] == "Retain"


def test_the_bucket_is_private_encrypted_versioned_and_tidied_up() -> None:
    bucket = resource("Bucket")
    blocked = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(blocked, True)
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert bucket["VersioningConfiguration"]["Status"] == "Enabled"
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert {rule["Status"] for rule in rules.values()} == {"Enabled"}
    assert rules["replaced-and-deleted"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": {"Ref": "KeepDays"}}
    assert rules["uploads-that-never-ended"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert (rules["logs"]["Prefix"], rules["logs"]["ExpirationInDays"]) == ("logs/", {"Ref": "KeepDays"})
    assert [name for name, rule in rules.items() if "ExpirationInDays" in rule] == ["logs"]


def test_the_landing_zones_events_go_to_the_queue_and_what_cannot_be_read_to_another() -> None:
    told = resource("Bucket")["NotificationConfiguration"]["QueueConfigurations"]
    assert {one["Event"] for one in told} == {"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}
    for one in told:
        assert one["Queue"] == {"Fn::GetAtt": ["Queue", "Arn"]}
        assert one["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": "landing/"}]
    assert template()["Resources"]["Bucket"]["DependsOn"] == "QueuePolicy"
    assert resource("Queue")["RedrivePolicy"] == {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}, "maxReceiveCount": 5}


def test_jobs_have_the_same_rights_on_nodes_and_in_serverless_and_emr_has_aws_own_policy() -> None:
    assert resource("JobRole")["ManagedPolicyArns"] == resource("InstanceRole")["ManagedPolicyArns"] == [{"Ref": "JobsPolicy"}]
    (policy,) = resource("ServiceRole")["ManagedPolicyArns"]
    assert policy["Fn::Sub"].endswith("/AmazonEMRServicePolicy_v2")


def test_the_serverless_application_lies_in_the_network_stops_by_itself_and_has_a_bound() -> None:
    application = resource("Application")
    assert application["AutoStopConfiguration"]["Enabled"] is True
    assert set(application["MaximumCapacity"]) == {"Cpu", "Memory", "Disk"}
    assert application["NetworkConfiguration"]["SecurityGroupIds"] == [{"Ref": "JobsSecurityGroup"}]
    assert "SecurityGroupIngress" not in resource("JobsSecurityGroup")


def test_the_defaults_are_those_of_the_settings() -> None:
    emr = Deployment.from_environment({}).emr
    parameters = {name: parameter["Default"] for name, parameter in template()["Parameters"].items()}
    assert parameters["Release"] == emr.release
    for role, default in (("ServiceRole", emr.service_role), ("InstanceRole", emr.instance_profile)):
        assert resource(role)["RoleName"]["Fn::Sub"].replace("${Prefix}", parameters["Prefix"]) == default
    # The driver and the executors of one stage, twice: a stage that is done anew while its predecessor ends.
    assert int(parameters["MaximumCpu"].split()[0]) >= 2 * 4 * (1 + emr.max_executors)


@pytest.fixture(scope="module")
def stack() -> Iterator[dict[str, str]]:
    """The stack's outputs in moto's AWS, with a NAT gateway; what moto has not (Serverless, Fn::Cidr) is filled in."""
    import boto3
    from moto import mock_aws

    made = json.loads(json.dumps(template()))
    made["Resources"]["Application"] = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "00application"}}
    for number, subnet in enumerate(("SubnetA", "SubnetB", "PublicSubnet")):
        made["Resources"][subnet]["Properties"]["CidrBlock"] = f"10.40.{4 * number}.0/22"
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "moto")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        cloud = boto3.client("cloudformation")
        with_nat = [{"ParameterKey": "WithNat", "ParameterValue": "true"}]
        with pytest.warns(UserWarning, match="not supported by moto"):
            cloud.create_stack(
                StackName="pomona", TemplateBody=json.dumps(made), Parameters=with_nat, Capabilities=["CAPABILITY_NAMED_IAM"]
            )
        (found,) = cloud.describe_stacks(StackName="pomona")["Stacks"]
        assert found["StackStatus"] == "CREATE_COMPLETE"
        yield {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}


def test_the_settings_that_the_stack_tells_are_a_deployment(stack: dict[str, str]) -> None:
    lines = dict(line.split("=", 1) for line in stack["Settings"].strip().splitlines())
    deployment = Deployment.from_environment({**lines, "POMONA_ENGINE": "emr-serverless", "POMONA_TRACKING": "http://mlflow:5000"})
    assert deployment.landing == f"s3://{stack['Bucket']}/landing"
    assert deployment.s3.region == lines["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert deployment.watch.sqs_queue.endswith("/pomona-landing")
    assert deployment.emr.packages == f"s3://{stack['Bucket']}/packages"
    assert len(deployment.emr.subnets) == 2
    assert deployment.emr.application == "00application"
    assert deployment.emr.job_role.endswith(":role/pomona-emr-serverless-job")
    assert (deployment.emr.service_role, deployment.emr.instance_profile) == ("pomona-emr-service", "pomona-emr-instance")
    assert deployment.emr.tags == (("for-use-with-amazon-emr-managed-policies", "true"),)


def test_what_airflow_may_fits_into_what_iam_takes(stack: dict[str, str]) -> None:
    import boto3

    document = boto3.client("iam").get_policy_version(PolicyArn=stack["AirflowPolicy"], VersionId="v1")["PolicyVersion"]["Document"]
    assert 1000 < len(json.dumps(document, separators=(",", ":"))) < 6144
