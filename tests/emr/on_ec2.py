"""EMR on EC2 over moto's: clusters take their time to start and to end, or fail to; steps wait until somebody runs them; CancelSteps,
instance fleets, policies for idling and scaling; and what an ended cluster refuses is refused."""

from __future__ import annotations

import threading
import time
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.utils import utcnow
from moto.emr.models import emr_backends

from tests.emr.refusal import REGION, Refusal

LIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING")
UNFINISHED = ("PENDING", "RUNNING", "CANCEL_PENDING")


class OnEc2:
    """moto's clusters and steps, and what there is beside them. A test sets the seconds and the failure of a cluster's start."""

    def __init__(self, lock: threading.RLock) -> None:
        self.lock = lock
        self.start_s = 1.0
        self.end_s = 0.5
        self.start_failure: tuple[str, str] | None = None
        self._more: dict[str, dict[str, Any]] = {}
        emr_backends.reset()

    @property
    def _moto(self) -> Any:
        return emr_backends[DEFAULT_ACCOUNT_ID][REGION]

    def clusters(self, *states: str) -> list[Any]:
        """moto's clusters in these states, or all; the oldest first."""
        with self.lock:
            self.advance()
            return [one for one in self._moto.clusters.values() if not states or one.state in states]

    def live(self) -> list[Any]:
        return self.clusters(*LIVE)

    def fail(self, cluster: Any, code: str, text: str) -> None:
        """The cluster is gone with all that ran on it, as when its instances are."""
        with self.lock:
            self._end(cluster, "TERMINATED_WITH_ERRORS", code, text)

    def set_step(self, step: Any, state: str, reason: str = "") -> None:
        with self.lock:
            step.state, step.last_state_change_reason = state, reason or None
            if state == "RUNNING":
                step.start_date_time = utcnow()
            elif state not in UNFINISHED:
                step.end_date_time = utcnow()

    def advance(self) -> None:
        """Clusters whose time to start or to end is over are what they were to become."""
        for cluster in self._moto.clusters.values():
            more = self._more[cluster.id]
            waited = time.monotonic() - more["since"]
            if cluster.state == "STARTING" and waited >= self.start_s:
                if more["failure"]:
                    self._end(cluster, "TERMINATED_WITH_ERRORS", *more["failure"])
                else:
                    cluster.state, cluster.ready_datetime = "WAITING", utcnow()
            elif cluster.state == "TERMINATING" and waited >= self.end_s:
                self._end(cluster, "TERMINATED", *more["reason"])

    def _end(self, cluster: Any, state: str, code: str, text: str) -> None:
        cluster.state, cluster.end_datetime, self._more[cluster.id]["reason"] = state, utcnow(), (code, text)
        for step in cluster.steps:
            if step.state in UNFINISHED:
                self.set_step(step, "CANCELLED", "Job terminated")

    def _cluster(self, asked: dict[str, Any], *, alive: bool = False) -> Any:
        name = asked.get("ClusterId") or asked.get("JobFlowId")
        cluster = self._moto.clusters.get(name)
        if cluster is None:
            raise Refusal("InvalidRequestException", f"Cluster id '{name}' is not valid.")
        if alive and cluster.state not in LIVE:
            raise Refusal("ValidationException", "A job flow that is shutting down, terminated, or finished may not be modified.")
        return cluster

    # ---- clusters

    def after_RunJobFlow(self, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        cluster = self._moto.clusters[answer["JobFlowId"]]
        cluster.state, cluster.ready_datetime = "STARTING", None
        self._more[cluster.id] = {"since": time.monotonic(), "failure": self.start_failure, "asked": asked, "reason": ("", "")}

    def only_TerminateJobFlows(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A live cluster begins to end; for one that has ended AWS says yes too."""
        for name in asked["JobFlowIds"]:
            cluster = self._cluster({"ClusterId": name})
            if cluster.state in LIVE:
                reason = ("USER_REQUEST", "Terminated by user request")
                cluster.state = "TERMINATING"
                self._more[name] |= {"since": time.monotonic(), "reason": reason}
        return {}

    def after_DescribeCluster(self, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        self._explain(answer["Cluster"])
        if self._fleets(asked):
            answer["Cluster"]["InstanceCollectionType"] = "INSTANCE_FLEET"

    def after_ListClusters(self, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        for cluster in answer["Clusters"]:
            self._explain(cluster)

    def _explain(self, cluster: dict[str, Any]) -> None:
        code, text = self._more[cluster["Id"]]["reason"]
        cluster["Status"]["StateChangeReason"] = {"Code": code, "Message": text} if code else {}

    def only_GetAutoTerminationPolicy(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._policy(asked, "AutoTerminationPolicy")

    def only_GetManagedScalingPolicy(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._policy(asked, "ManagedScalingPolicy")

    def _policy(self, asked: dict[str, Any], name: str) -> dict[str, Any]:
        policy = self._more[self._cluster(asked).id]["asked"].get(name)
        return {name: policy} if policy else {}

    # ---- instances

    def only_ListInstanceFleets(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"InstanceFleets": [_fleet(number, one) for number, one in enumerate(self._fleets(asked))]}

    def only_ListInstances(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Each fleet's first instance type, as often as its capacity asks for."""
        found = []
        for number, fleet in enumerate(self._fleets(asked)):
            if asked.get("InstanceFleetType") not in (None, fleet["InstanceFleetType"]):
                continue
            for market, key in (("ON_DEMAND", "TargetOnDemandCapacity"), ("SPOT", "TargetSpotCapacity")):
                kind = fleet["InstanceTypeConfigs"][0]["InstanceType"]
                one = {"InstanceFleetId": f"if-{number}", "Market": market, "InstanceType": kind, "Status": {"State": "RUNNING"}}
                found += [{"Id": f"ci-{number}{n}", "Ec2InstanceId": f"i-{number}{n}", **one} for n in range(fleet.get(key, 0))]
        return {"Instances": found}

    def _fleets(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        return list(self._more[self._cluster(asked).id]["asked"]["Instances"].get("InstanceFleets", []))

    # ---- steps

    def before_AddJobFlowSteps(self, asked: dict[str, Any]) -> None:
        cluster = self._cluster(asked, alive=True)
        self._more[cluster.id]["state"] = cluster.state

    def after_AddJobFlowSteps(self, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        cluster = self._cluster(asked)
        cluster.state = self._more[cluster.id]["state"]
        for step in cluster.steps:
            if step.id in answer["StepIds"]:
                step.state = "PENDING"

    def before_ListSteps(self, asked: dict[str, Any]) -> None:
        self._cluster(asked)

    def before_DescribeStep(self, asked: dict[str, Any]) -> None:
        if asked["StepId"] not in [step.id for step in self._cluster(asked).steps]:
            raise Refusal("InvalidRequestException", f"Step id '{asked['StepId']}' is not valid.")

    def only_CancelSteps(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A waiting step never runs. Of a running one spark-submit is ended, no more: a YARN application in cluster mode lives on."""
        steps, told = {step.id: step for step in self._cluster(asked, alive=True).steps}, []
        for name in asked["StepIds"]:
            step = steps.get(name)
            if step is None or step.state not in UNFINISHED:
                told.append({"StepId": name, "Status": "FAILED", "Reason": "the step is not there, or has ended"})
                continue
            self.set_step(step, "CANCELLED", "Cancelled by user")
            told.append({"StepId": name, "Status": "SUBMITTED"})
        return {"CancelStepsInfoList": told}


def _fleet(number: int, asked: dict[str, Any]) -> dict[str, Any]:
    on_demand, spot = asked.get("TargetOnDemandCapacity", 0), asked.get("TargetSpotCapacity", 0)
    return {
        "Id": f"if-{number}",
        "Name": asked.get("Name", ""),
        "InstanceFleetType": asked["InstanceFleetType"],
        "Status": {"State": "RUNNING"},
        "TargetOnDemandCapacity": on_demand,
        "TargetSpotCapacity": spot,
        "ProvisionedOnDemandCapacity": on_demand,
        "ProvisionedSpotCapacity": spot,
        "InstanceTypeSpecifications": [{"InstanceType": one["InstanceType"]} for one in asked["InstanceTypeConfigs"]],
    }
