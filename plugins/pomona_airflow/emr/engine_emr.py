"""The engine `emr`: a stage is a step of a cluster of EMR on EC2, the run's own or a given one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pomona_airflow.emr import driver_log, spark_settings
from pomona_airflow.emr.cluster import cluster_of
from pomona_airflow.emr.packages import Packages, packages
from pomona_airflow.remote import RemoteEngine, RemoteJob, State

_LIVE = ("PENDING", "RUNNING")


class Engine(RemoteEngine):
    """Adds a stage's job as a step and follows it."""

    @cached_property
    def client(self) -> Any:
        from airflow.providers.amazon.aws.hooks.emr import EmrHook

        return EmrHook(aws_conn_id=self.deployment.emr.connection, emr_conn_id=None).get_conn()

    def place(self, run: str, job: str) -> str:
        return cluster_of(self.deployment, run, job)

    def jobs(self, place: str, name: str) -> list[RemoteJob]:
        pages = self.client.get_paginator("list_steps").paginate(ClusterId=place)
        steps = [step for page in pages for step in page["Steps"] if step["Name"] == name]
        return [_job(place, step) for step in sorted(steps, key=lambda step: (step["Status"]["Timeline"]["CreationDateTime"], step["Id"]))]

    def submit(self, place: str, name: str, words: Sequence[str], *, ended: int) -> str:
        made = self.client.add_job_flow_steps(
            JobFlowId=place,
            Steps=[
                {
                    "Name": name,
                    "ActionOnFailure": "CONTINUE",
                    "HadoopJarStep": {"Jar": "command-runner.jar", "Args": self.command(name, words, packages(self.deployment))},
                }
            ],
        )
        return str(made["StepIds"][0])

    def command(self, name: str, words: Sequence[str], sent: Packages) -> list[str]:
        """The step's spark-submit. The driver runs on the cluster, for only there is the archive unpacked for it too."""
        emr = self.deployment.emr
        conf = spark_settings.conf(self.deployment, cores=emr.max_nodes * spark_settings.vcpus(emr.core_types[0])) | {
            "spark.yarn.appMasterEnv.PYSPARK_PYTHON": spark_settings.PYTHON,
            "spark.yarn.appMasterEnv.PYTHONUTF8": "1",
            # A driver that is begun anew by YARN would be a second job.
            "spark.yarn.maxAppAttempts": "1",
            "spark.dynamicAllocation.maxExecutors": str(emr.max_nodes),
        }
        head = ["spark-submit", "--master", "yarn", "--deploy-mode", "cluster", "--name", name, *spark_settings.flags(conf)]
        archive = f"{sent.environment}#{spark_settings.ENVIRONMENT}"
        return [*head, "--archives", archive, "--py-files", sent.code, sent.entry, *words]

    def look(self, job: RemoteJob) -> RemoteJob:
        try:
            return _job(job.place, self.client.describe_step(ClusterId=job.place, StepId=job.id)["Step"])
        except self.client.exceptions.InvalidRequestException as error:
            return RemoteJob(job.place, job.id, job.name, "failed", f"lost: {' '.join(str(error).split())}")

    def cancel(self, job: RemoteJob) -> None:
        from botocore.exceptions import ClientError

        try:
            self.client.cancel_steps(ClusterId=job.place, StepIds=[job.id], StepCancellationOption="TERMINATE_PROCESS")
        except ClientError as error:
            # A cluster that is ending, as after its teardown, ends its steps by itself.
            if error.response["Error"]["Code"] not in ("ValidationException", "InvalidRequestException"):
                raise

    def usage(self, job: RemoteJob) -> dict[str, Any]:
        timeline = self.client.describe_step(ClusterId=job.place, StepId=job.id)["Step"]["Status"]["Timeline"]
        cluster = self.client.describe_cluster(ClusterId=job.place)["Cluster"]
        pages = self.client.get_paginator("list_instances").paginate(ClusterId=job.place, InstanceStates=["RUNNING"])
        counted = Counter((one["InstanceType"], one["Market"]) for page in pages for one in page["Instances"])
        started, ended = timeline["StartDateTime"], timeline["EndDateTime"]
        return {
            "engine": "emr",
            "cluster": job.place,
            "cluster_created": cluster["Status"]["Timeline"]["CreationDateTime"].isoformat(timespec="seconds"),
            "started": started.isoformat(timespec="seconds"),
            "ended": ended.isoformat(timespec="seconds"),
            "seconds": (ended - started).total_seconds(),
            "instances": [{"type": kind, "market": market, "count": count} for (kind, market), count in sorted(counted.items())],
        }

    def tail(self, job: RemoteJob, n_lines: int) -> list[str]:
        return driver_log.tail(self.deployment, driver_log.of_step(self.deployment, job.place, job.id), n_lines)

    def pages(self, job: RemoteJob) -> dict[str, str]:
        """The console's page, and Spark's history server on the primary node, for who is in its network."""
        region = self.client.meta.region_name
        pages = {
            "the cluster and its steps": f"https://{region}.console.aws.amazon.com/emr/home?region={region}#/clusterDetails/{job.place}"
        }
        host = self.client.describe_cluster(ClusterId=job.place)["Cluster"].get("MasterPublicDnsName")
        return {**pages, **({"Spark's UI, from inside its network": f"http://{host}:18080"} if host else {})}


def _job(place: str, step: dict[str, Any]) -> RemoteJob:
    status = step["Status"]
    state, failure = status["State"], status.get("FailureDetails") or {}
    reason = (status.get("StateChangeReason") or {}).get("Message") or failure.get("Reason") or failure.get("Message") or ""
    meaning: State = "live" if state in _LIVE else "succeeded" if state == "COMPLETED" else "failed"
    return RemoteJob(place, step["Id"], step["Name"], meaning, f"{state}{reason and ': ' + reason}")
