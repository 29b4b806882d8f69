"""The engine `emr-serverless`: a stage is a job run of an application of EMR Serverless."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pomona_airflow.deployment import NotReady
from pomona_airflow.emr import driver_log, spark_settings
from pomona_airflow.emr.packages import Packages, packages
from pomona_airflow.remote import RemoteEngine, RemoteJob, State

_LIVE = ("SUBMITTED", "PENDING", "SCHEDULED", "QUEUED", "RUNNING")
_CORES = 4
# The longest stage of the contract; the task's own timeout ends a job sooner.
_TIMEOUT_MINUTES = 12 * 60


class Engine(RemoteEngine):
    """Starts a stage's job as a run of the application and follows it."""

    @cached_property
    def client(self) -> Any:
        from airflow.providers.amazon.aws.hooks.emr import EmrServerlessHook

        return EmrServerlessHook(aws_conn_id=self.deployment.emr.connection).get_conn()

    def place(self, run: str, job: str) -> str:
        emr = self.deployment.emr
        for variable, value in (("POMONA_EMR_APPLICATION", emr.application), ("POMONA_EMR_JOB_ROLE", emr.job_role)):
            if not value:
                raise NotReady(f"{variable} is not set: the stack of infra/ says what it is")
        return emr.application

    def jobs(self, place: str, name: str) -> list[RemoteJob]:
        pages = self.client.get_paginator("list_job_runs").paginate(applicationId=place)
        runs = [run for page in pages for run in page["jobRuns"] if run.get("name") == name]
        return [_job(place, run["id"], run) for run in sorted(runs, key=lambda run: (run["createdAt"], run["id"]))]

    def submit(self, place: str, name: str, words: Sequence[str], *, ended: int) -> str:
        emr, sent = self.deployment.emr, packages(self.deployment)
        started = self.client.start_job_run(
            applicationId=place,
            # Of two that submit at the same time both get the same run.
            clientToken=hashlib.sha256(f"{name} {ended}".encode()).hexdigest()[:64],
            executionRoleArn=emr.job_role,
            name=name,
            executionTimeoutMinutes=_TIMEOUT_MINUTES,
            tags={"pomona:name": self.deployment.name, **dict(emr.tags)},
            jobDriver={
                "sparkSubmit": {
                    "entryPoint": sent.entry,
                    "entryPointArguments": list(words),
                    "sparkSubmitParameters": self.parameters(sent),
                }
            },
            configurationOverrides={"monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": emr.logs}}},
        )
        return str(started["jobRunId"])

    def parameters(self, sent: Packages) -> str:
        """What would stand on spark-submit's command line before the application."""
        emr = self.deployment.emr
        conf = spark_settings.conf(self.deployment, cores=emr.max_executors * _CORES) | {
            "spark.archives": f"{sent.environment}#{spark_settings.ENVIRONMENT}",
            "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": spark_settings.PYTHON,
            "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": spark_settings.PYTHON,
            "spark.executor.cores": str(_CORES),
            "spark.driver.cores": str(_CORES),
            # A worker of 4 vCPUs has 8 GB at least.
            "spark.executor.memoryOverheadFactor": "1.0",
            "spark.driver.memoryOverhead": "6g",
            "spark.dynamicAllocation.maxExecutors": str(emr.max_executors),
        }
        return " ".join(shlex.quote(word) for word in [*spark_settings.flags(conf), "--py-files", sent.code])

    def look(self, job: RemoteJob) -> RemoteJob:
        try:
            return _job(job.place, job.id, self._asked(job))
        except self.client.exceptions.ResourceNotFoundException as error:
            return RemoteJob(job.place, job.id, job.name, "failed", f"lost: {' '.join(str(error).split())}")

    def cancel(self, job: RemoteJob) -> None:
        from botocore.exceptions import ClientError

        try:
            self.client.cancel_job_run(applicationId=job.place, jobRunId=job.id)
        except ClientError as error:
            # One that has just ended cannot be ended.
            if error.response["Error"]["Code"] not in ("ValidationException", "ConflictException"):
                raise

    def usage(self, job: RemoteJob) -> dict[str, Any]:
        run = self._asked(job)
        used = run.get("billedResourceUtilization") or run.get("totalResourceUtilization") or {}
        return {
            "engine": "emr-serverless",
            "application": job.place,
            "started": run["createdAt"].isoformat(timespec="seconds"),
            "ended": run["updatedAt"].isoformat(timespec="seconds"),
            "seconds": float(run.get("totalExecutionDurationSeconds") or 0),
            "vcpu_hours": float(used.get("vCPUHour", 0.0)),
            "memory_gb_hours": float(used.get("memoryGBHour", 0.0)),
            "storage_gb_hours": float(used.get("storageGBHour", 0.0)),
        }

    def tail(self, job: RemoteJob, n_lines: int) -> list[str]:
        return driver_log.tail(self.deployment, driver_log.of_job_run(job.place, job.id), n_lines)

    def pages(self, job: RemoteJob) -> dict[str, str]:
        """The console's page, and the Spark UI's own, which opens without a login for an hour."""
        from botocore.exceptions import ClientError

        region = self.client.meta.region_name
        console = f"https://{region}.console.aws.amazon.com/emr/home?region={region}#/serverless-applications/{job.place}/{job.id}"
        try:
            asked = self.client.get_dashboard_for_job_run(applicationId=job.place, jobRunId=job.id)
        except ClientError:
            # A run that has no driver yet has no page yet.
            return {"the job run": console}
        return {"the job run": console, "its Spark UI, for an hour": str(asked["url"])}

    def _asked(self, job: RemoteJob) -> dict[str, Any]:
        return dict(self.client.get_job_run(applicationId=job.place, jobRunId=job.id)["jobRun"])


def _job(place: str, job: str, run: dict[str, Any]) -> RemoteJob:
    state, reason = run["state"], run.get("stateDetails") or ""
    meaning: State = "live" if state in _LIVE else "succeeded" if state == "SUCCESS" else "failed"
    return RemoteJob(place, job, run.get("name", ""), meaning, f"{state}{reason and ': ' + reason}")
