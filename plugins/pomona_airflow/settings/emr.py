"""What EMR is to be like, on EC2 and Serverless: the variables POMONA_EMR_…, as `deployment` reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pomona_airflow.settings import checks as check
from pomona_airflow.settings.checks import BadSetting, Read

# m6g, c7gn, r8gd, …: a g behind the generation; g4dn and its like begin with theirs.
_GRAVITON = re.compile(r"[a-z]+\d+g|a1\.")
_INSTANCE_TYPE = r"[a-z0-9-]+\.[a-z0-9-]+"


@dataclass(frozen=True)
class Emr:
    """Where packages and logs lie, the release, the run's own cluster (or a given one), and the Serverless application.

    `connection` None: AWS's own chain of credentials, and no Airflow connection.
    `cluster` empty: each run has a cluster of its own. Of the `core_nodes` and of those that scaling adds up to `max_nodes`,
    `spot_share` per cent are spot instances, never the first core node, where drivers run.
    """

    packages: str
    logs: str
    release: str
    connection: str | None
    poll_s: int
    tags: tuple[tuple[str, str], ...]
    cluster: str
    primary_type: str
    core_types: tuple[str, ...]
    core_nodes: int
    max_nodes: int
    spot_share: int
    service_role: str
    instance_profile: str
    subnets: tuple[str, ...]
    idle_minutes: int
    max_hours: int
    application: str
    job_role: str
    max_executors: int


def read_emr(read: Read, *, lake: str) -> Emr:
    """The settings that the variables describe.

    Raises
    ------
    BadSetting
        Names the variable, its value and what is allowed.
    """
    core_nodes = check.number(read, "POMONA_EMR_CORE_NODES", 2, 1)
    max_nodes = check.number(read, "POMONA_EMR_MAX_NODES", core_nodes, core_nodes)
    return Emr(
        # No name of a deployment begins with _, so these lie beside the lakes of all names.
        packages=check.place("POMONA_EMR_PACKAGES", read("POMONA_EMR_PACKAGES") or f"{lake}/_packages"),
        logs=check.place("POMONA_EMR_LOGS", read("POMONA_EMR_LOGS") or f"{lake}/_logs"),
        release=check.matching(
            "POMONA_EMR_RELEASE", read("POMONA_EMR_RELEASE") or "emr-7.13.0", r"emr-7\.[1-9]\d\.\d+", "emr-7.10.0 or a later 7"
        ),
        connection=read("POMONA_EMR_CONNECTION") or None,
        poll_s=check.number(read, "POMONA_EMR_POLL_S", 15, 1),
        tags=_tags(read("POMONA_EMR_TAGS")),
        cluster=check.matching(
            "POMONA_EMR_CLUSTER", read("POMONA_EMR_CLUSTER"), r"(j-[A-Z0-9]+)?", "a cluster's id, like j-2AXXXXXXGAPLF, or empty"
        ),
        primary_type=_type("POMONA_EMR_PRIMARY_TYPE", read("POMONA_EMR_PRIMARY_TYPE") or "m5.xlarge"),
        core_types=tuple(_type("POMONA_EMR_CORE_TYPES", one) for one in _listed(read("POMONA_EMR_CORE_TYPES") or "m5.xlarge")),
        core_nodes=core_nodes,
        max_nodes=max_nodes,
        spot_share=check.number(read, "POMONA_EMR_SPOT_SHARE", 0, 0, 100),
        service_role=read("POMONA_EMR_SERVICE_ROLE") or "pomona-emr-service",
        instance_profile=read("POMONA_EMR_INSTANCE_PROFILE") or "pomona-emr-instance",
        subnets=tuple(_listed(read("POMONA_EMR_SUBNETS"))),
        idle_minutes=check.number(read, "POMONA_EMR_IDLE_MINUTES", 15, 1, 7 * 24 * 60),
        max_hours=check.number(read, "POMONA_EMR_MAX_HOURS", 12, 1),
        application=read("POMONA_EMR_APPLICATION"),
        job_role=read("POMONA_EMR_JOB_ROLE"),
        max_executors=check.number(read, "POMONA_EMR_MAX_EXECUTORS", 4, 1),
    )


def _type(variable: str, value: str) -> str:
    """An instance type for which the packed environment is made."""
    if _GRAVITON.match(value):
        raise BadSetting(
            f"{variable}={value!r} has Graviton processors, and the packed environment is for x86_64: take m5.xlarge or m6i.xlarge"
        )
    return check.matching(variable, value, _INSTANCE_TYPE, "instance types like m5.xlarge")


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _tags(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [one.partition("=") for one in _listed(text)]
    if not all(key.strip() and sign for key, sign, _ in pairs):
        raise BadSetting(f"POMONA_EMR_TAGS={text!r} must be like team=vision,stage=test")
    return tuple((key.strip(), value.strip()) for key, _, value in pairs)
