"""What a run's own cluster is to be like: the request to EMR as a pure function of the deployment and the run's id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from pomona.command import run_key
from pomona.stages import STAGES
from pomona_airflow.deployment import Deployment
from pomona_airflow.settings.emr import Emr

NAME_TAG = "pomona:name"
RUN_TAG = "pomona:run"
RUN_ID_TAG = "pomona:run-id"
FIRST = next(iter(STAGES))
_LONGEST = 256
# What AWS takes in the value of a tag.
_TAGGABLE = re.compile(r"[\w\s.:/=+@-]*")
_SPOT_WAIT_MINUTES = 10


def owner(run: str, job: str) -> str:
    """Whose a cluster is: of a run of the chain its key, of another job's run the job's name before it; at most 256 characters.

    Runs of two DAGs that a schedule began in the same second have one key, and each makes and ends a cluster of its own.
    """
    return (run if job in STAGES else f"{job}__{run}")[:_LONGEST]


def cluster_name(deployment: Deployment, owner: str) -> str:
    """The name of this owner's cluster: a function of deployment and owner, at most 256 characters long."""
    name = f"pomona-{deployment.name}-{owner}"
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def tags(deployment: Deployment, run_id: str, job: str = FIRST) -> dict[str, str]:
    """The deployment's own tags, and over them those by which Pomona knows its clusters."""
    own = {NAME_TAG: deployment.name, RUN_TAG: owner(run_key(run_id), job), "pomona:created-by": "airflow task create_cluster"}
    if len(run_id) <= _LONGEST and _TAGGABLE.fullmatch(run_id):
        own[RUN_ID_TAG] = run_id
    return {**dict(deployment.emr.tags), **own}


def job_flow(deployment: Deployment, run_id: str, job: str = FIRST) -> dict[str, Any]:
    """The arguments of RunJobFlow for the cluster of the run, which `job` is to work on.

    One node keeps the cluster, the core nodes hold the drivers and are never spot instances; spot instances are task nodes. The cluster
    waits for steps and ends by itself when it has been idle: the one guarantee that holds when nobody is left to end it.
    """
    emr = deployment.emr
    request: dict[str, Any] = {
        "Name": cluster_name(deployment, owner(run_key(run_id), job)),
        "LogUri": f"{emr.logs.rstrip('/')}/",
        "ReleaseLabel": emr.release,
        "Applications": [{"Name": "Hadoop"}, {"Name": "Spark"}],
        "ServiceRole": emr.service_role,
        "JobFlowRole": emr.instance_profile,
        "Instances": {
            "InstanceFleets": _fleets(emr),
            **({"Ec2SubnetIds": list(emr.subnets)} if emr.subnets else {}),
            "KeepJobFlowAliveWhenNoSteps": True,
            "TerminationProtected": False,
        },
        "AutoTerminationPolicy": {"IdleTimeout": 60 * emr.idle_minutes},
        "StepConcurrencyLevel": 1,
        "VisibleToAllUsers": True,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags(deployment, run_id, job).items())],
    }
    if emr.max_nodes > emr.core_nodes:
        request["ManagedScalingPolicy"] = {"ComputeLimits": _limits(emr)}
    if _spot(emr, emr.max_nodes):
        request["Configurations"] = [_drivers_on_core_nodes()]
    if deployment.s3.encryption == "aws:kms" and deployment.s3.kms_key:
        request["LogEncryptionKmsKeyId"] = deployment.s3.kms_key
    return request


def nodes_at_first(emr: Emr) -> tuple[int, int]:
    """(core nodes on demand, task nodes on the spot market) when the cluster starts.

    A fleet of task nodes must not be empty at first, so where spot instances may come later there is one from the beginning.
    """
    if not _spot(emr, emr.max_nodes):
        return emr.core_nodes, 0
    spot = max(1, _spot(emr, emr.core_nodes))
    return max(1, emr.core_nodes - spot), spot


def _spot(emr: Emr, nodes: int) -> int:
    """How many of so many nodes are spot instances: the share rounded down, and never all."""
    return min(nodes * emr.spot_share // 100, nodes - 1)


def _fleets(emr: Emr) -> list[dict[str, Any]]:
    core, spot = nodes_at_first(emr)
    primary_types, core_types = [{"InstanceType": emr.primary_type}], [_unit(one) for one in emr.core_types]
    fleets: list[dict[str, Any]] = [
        {"Name": "primary", "InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1, "InstanceTypeConfigs": primary_types},
        {"Name": "core", "InstanceFleetType": "CORE", "TargetOnDemandCapacity": core, "InstanceTypeConfigs": core_types},
    ]
    if spot:
        launch = {
            "SpotSpecification": {
                "AllocationStrategy": "capacity-optimized",
                "TimeoutDurationMinutes": _SPOT_WAIT_MINUTES,
                "TimeoutAction": "SWITCH_TO_ON_DEMAND",
            }
        }
        task = {"Name": "task", "InstanceFleetType": "TASK", "TargetSpotCapacity": spot, "InstanceTypeConfigs": core_types}
        fleets.append({**task, "LaunchSpecifications": launch})
    return fleets


def _unit(instance_type: str) -> Mapping[str, Any]:
    return {"InstanceType": instance_type, "WeightedCapacity": 1}


def _limits(emr: Emr) -> dict[str, Any]:
    """Managed scaling's bounds: what is on demand grows as core nodes, what is not as task nodes."""
    on_demand = emr.max_nodes - _spot(emr, emr.max_nodes)
    return {
        "UnitType": "InstanceFleetUnits",
        "MinimumCapacityUnits": emr.core_nodes,
        "MaximumCapacityUnits": emr.max_nodes,
        "MaximumOnDemandCapacityUnits": on_demand,
        "MaximumCoreCapacityUnits": on_demand,
    }


def _drivers_on_core_nodes() -> dict[str, Any]:
    """From release 6 on YARN's node labels are off, and a driver could land on a spot instance."""
    return {
        "Classification": "yarn-site",
        "Properties": {"yarn.node-labels.enabled": "true", "yarn.node-labels.am.default-node-label-expression": "CORE"},
    }
