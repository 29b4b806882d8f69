"""What `make check-settings` looks at for EMR: the account, the packages, the cluster or application, and MLflow's address."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from pomona_airflow.deployment import Deployment, NotReady
from pomona_airflow.emr.cluster_request import NAME_TAG
from pomona_airflow.emr.packages import environment_name, missing

_RELEASE = re.compile(r"emr-7\.1\d\.\d+")
_RUNNING = ("RUNNING", "WAITING")
_MADE = ("CREATED", "STARTING", "STARTED", "STOPPED")
_THIS_MACHINE = ("localhost", "::1", "0.0.0.0")
_STACK = "the stack of infra/ says what it is"


def account(deployment: Deployment) -> str:
    """Whom AWS takes us for."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

    named = deployment.emr.connection
    with _told(f"AWS does not answer us: check {f'the Airflow connection {named}' if named else 'credentials and AWS_DEFAULT_REGION'}"):
        client = AwsBaseHook(aws_conn_id=deployment.emr.connection, client_type="sts").get_conn()
        told = client.get_caller_identity()
    return f"account {told['Account']}, as {told['Arn']}"


def packages(deployment: Deployment) -> str:
    """That the packed environment is there; code and entry are put there with each stage."""
    if environment_name() in missing(deployment):
        raise NotReady(f"{environment_name()} is not in {deployment.emr.packages}: run make package")
    return f"{environment_name()} is in {deployment.emr.packages}"


def emr(deployment: Deployment) -> str:
    """That the given cluster or the application is there, or that there is all that a cluster is made of."""
    if deployment.engine == "emr-serverless":
        return _application(deployment)
    return _given(deployment) if deployment.emr.cluster else _made(deployment)


def stop_if_jobs_cannot_use(uri: str) -> None:
    """MLflow's address as jobs on AWS see it; NotReady when it is not one, or wants what jobs are not given."""
    if uri.startswith("arn:"):
        schemes = {entry.name for entry in importlib.metadata.entry_points(group="mlflow.tracking_store")}
        if "arn" not in schemes:
            raise NotReady(
                f"POMONA_TRACKING={uri} needs the package sagemaker-mlflow, which is not locked: add it to pyproject.toml, run make lock, "
                "or use a server in the network"
            )
    host = urlsplit(uri).hostname or ""
    if host in _THIS_MACHINE or host.startswith("127."):
        raise NotReady(
            f"POMONA_TRACKING={uri} is this machine, which jobs on AWS do not reach: use an address of the network that they are in"
        )
    if os.environ.get("MLFLOW_TRACKING_PASSWORD") or os.environ.get("MLFLOW_TRACKING_TOKEN"):
        raise NotReady(
            "MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN is set, which jobs on AWS are not given: many may read a job's settings; "
            "let a security group guard the server instead"
        )


def _application(deployment: Deployment) -> str:
    emr = deployment.emr
    for variable, value in (("POMONA_EMR_APPLICATION", emr.application), ("POMONA_EMR_JOB_ROLE", emr.job_role)):
        if not value:
            raise NotReady(f"{variable} is not set: {_STACK}")
    from airflow.providers.amazon.aws.hooks.emr import EmrServerlessHook

    with _told(f"POMONA_EMR_APPLICATION={emr.application}"):
        client = EmrServerlessHook(aws_conn_id=emr.connection).get_conn()
        found = client.get_application(applicationId=emr.application)["application"]
    release, state = found["releaseLabel"], found["state"]
    architecture = found.get("architecture", "X86_64")
    if state not in _MADE:
        raise NotReady(f"the application {emr.application} is {state}: make another, and set POMONA_EMR_APPLICATION")
    if not _RELEASE.fullmatch(release) or architecture != "X86_64":
        raise NotReady(
            f"the application {emr.application} has {release} on {architecture}: the packages need emr-7.10 or a later 7 on X86_64"
        )
    if state != "STARTED" and not found.get("autoStartConfiguration", {}).get("enabled", True):
        raise NotReady(f"the application {emr.application} is {state} and does not start by itself: start it, or let it")
    return f"application {emr.application} is {state.lower()}, {release}"


def _given(deployment: Deployment) -> str:
    from airflow.providers.amazon.aws.hooks.emr import EmrHook

    emr = deployment.emr
    with _told(f"POMONA_EMR_CLUSTER={emr.cluster}"):
        client = EmrHook(aws_conn_id=emr.connection, emr_conn_id=None).get_conn()
        found = client.describe_cluster(ClusterId=emr.cluster)["Cluster"]
    state, release = found["Status"]["State"], found.get("ReleaseLabel", "no release")
    if state not in _RUNNING:
        raise NotReady(
            f"the cluster {emr.cluster} is {state}: set POMONA_EMR_CLUSTER to one that runs, or to nothing, and each run makes its own"
        )
    if not _RELEASE.fullmatch(release):
        raise NotReady(f"the cluster {emr.cluster} has {release}: the packages need emr-7.10 or a later 7")
    if not any(tag["Key"] == NAME_TAG for tag in found.get("Tags", [])):
        raise NotReady(f"the cluster {emr.cluster} has no tag {NAME_TAG}, without which the stack's policy gives no right to it: add one")
    return f"cluster {emr.cluster} is {state.lower()}, {release}"


def _made(deployment: Deployment) -> str:
    emr = deployment.emr
    if not emr.subnets:
        raise NotReady(f"POMONA_EMR_SUBNETS is not set: {_STACK}")
    nodes = f"{emr.core_nodes}" if emr.max_nodes == emr.core_nodes else f"{emr.core_nodes} to {emr.max_nodes}"
    return (
        f"each run makes its own cluster: {emr.release}, 1 {emr.primary_type} and {nodes} {' or '.join(emr.core_types)}, "
        f"roles {emr.service_role} and {emr.instance_profile}, which are looked at then"
    )


@contextmanager
def _told(what: str) -> Iterator[None]:
    """AWS's refusal, or what keeps us from asking, as what a deployment lacks."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise NotReady(f"{what}: {' '.join(str(error).split())}") from None
