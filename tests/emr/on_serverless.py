"""EMR Serverless over moto's: job runs wait until somebody runs them, client tokens start a run once, and runs are cancelled by and by."""

from __future__ import annotations

import json
import threading
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.utils import utcnow
from moto.emrserverless.models import emrserverless_backends

from tests.emr.refusal import REGION, Refusal

OVER = ("SUCCESS", "FAILED", "CANCELLED")
ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/pomona-job"


class OnServerless:
    """moto's job runs, and what there is beside them; `application` is the id of the one application."""

    def __init__(self, lock: threading.RLock) -> None:
        self.lock = lock
        self._tokens: dict[tuple[str, str], tuple[str, str]] = {}
        emrserverless_backends.reset()
        nothing: Any = None
        self.application: str = self._moto.create_application(
            name="pomona",
            release_label="emr-7.13.0",
            application_type="SPARK",
            client_token="pomona",
            tags={},
            initial_capacity=nothing,
            maximum_capacity=nothing,
            auto_start_configuration=nothing,
            auto_stop_configuration=nothing,
            network_configuration=nothing,
        ).id
        self._moto.job_runs[self.application] = []

    @property
    def _moto(self) -> Any:
        return emrserverless_backends[DEFAULT_ACCOUNT_ID][REGION]

    def advance(self) -> None:
        """Nothing: only the runner changes the state of a run."""

    def job_runs(self, *states: str) -> list[Any]:
        """moto's job runs in these states, or all; the oldest first."""
        with self.lock:
            return [run for run in self._moto.job_runs[self.application] if not states or run.state in states]

    def set_run(self, run: Any, state: str, details: str = "", *, vcpu: float = 0.0, memory_gb: float = 0.0) -> None:
        """A new state; an ended run is billed for these vCPUs and GB over its time, by the second and for a minute at least."""
        with self.lock:
            run.state, run.state_details, run.updated_at = state, details, utcnow()
            if state == "RUNNING":
                run.started_at = utcnow()
            elif state in OVER:
                run.ended_at = utcnow()
                if hasattr(run, "started_at"):
                    seconds = (run.ended_at - run.started_at).total_seconds()
                    hours = max(seconds, 60) / 3600
                    run.total_execution_duration_seconds = round(seconds)
                    used = {"vCPUHour": vcpu * hours, "memoryGBHour": memory_gb * hours, "storageGBHour": 0.0}
                    run.billed_resource_utilization = {name: round(value, 3) for name, value in used.items()}

    def only_StartJobRun(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The run that the same token has started already, or a new one that waits for its capacity."""
        application, token = asked["applicationId"], asked["clientToken"]
        if application != self.application:
            raise Refusal("ResourceNotFoundException", f"Application {application} does not exist", 404)
        said = json.dumps(asked, sort_keys=True)
        known, before = self._tokens.get((application, token), ("", said))
        if before != said:
            raise Refusal("ConflictException", "Idempotent parameter mismatch", 409)
        if not known:
            known = self._started(asked)
            self._tokens[application, token] = (known, said)
        return {"applicationId": application, "jobRunId": known, "arn": self._run(known).arn}

    def _started(self, asked: dict[str, Any]) -> str:
        run = self._moto.start_job_run(
            application_id=asked["applicationId"],
            client_token=asked["clientToken"],
            execution_role_arn=asked["executionRoleArn"],
            job_driver=asked["jobDriver"],
            configuration_overrides=asked.get("configurationOverrides"),
            tags=asked.get("tags"),
            execution_timeout_minutes=asked.get("executionTimeoutMinutes"),
            name=asked.get("name"),
        )
        run.state, run.created_at, run.updated_at = "SUBMITTED", utcnow(), utcnow()
        return str(run.id)

    def _run(self, name: str) -> Any:
        for run in self.job_runs():
            if run.id == name:
                return run
        raise Refusal("ResourceNotFoundException", f"JobRun {name} does not exist", 404)

    def only_CancelJobRun(self, asked: dict[str, Any]) -> dict[str, Any]:
        run = self._run(asked["jobRunId"])
        if run.state in OVER:
            raise Refusal("ValidationException", f"JobRun {run.id} is in {run.state} state and cannot be cancelled")
        self.set_run(run, "CANCELLING")
        return {"applicationId": asked["applicationId"], "jobRunId": run.id}

    def only_GetDashboardForJobRun(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"url": f"https://p-{self._run(asked['jobRunId']).id}.emrappui-prod.{REGION}.amazonaws.com/shs/?authToken=for-the-tests"}
