"""The end of a driver's log in the folder where EMR puts logs: packed files that come minutes after the fact, or never."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from pomona.outcome import BadInput
from pomona_airflow.deployment import Deployment

_APPLICATION = re.compile(r"application_\d+_\d+")


def tail(deployment: Deployment, paths: Iterable[str], n_lines: int) -> list[str]:
    """The last lines of each file below the log folder that is there, with its name in front."""
    lines = []
    for path in paths:
        last = _text(deployment, path).splitlines()[-n_lines:]
        lines += [f"{path}:", *last] if last else []
    return lines


def of_step(deployment: Deployment, cluster: str, step: str) -> list[str]:
    """The files of a step: what its spark-submit said, and what the driver said in YARN's first container."""
    submit = f"{cluster}/steps/{step}/stderr.gz"
    found = _APPLICATION.search(_text(deployment, submit))
    if found is None:
        return [submit]
    place, number = f"{cluster}/containers/{found[0]}", found[0].removeprefix("application")
    return [submit, *(f"{place}/container{number}_01_000001/{name}.gz" for name in ("stdout", "stderr"))]


def of_job_run(application: str, job: str) -> list[str]:
    """The files of a Serverless job run's driver."""
    return [f"applications/{application}/jobs/{job}/SPARK_DRIVER/{name}.gz" for name in ("stdout", "stderr")]


def _text(deployment: Deployment, path: str) -> str:
    """The unpacked text; empty when the file is not there, or not yet whole."""
    from pomona.lake import Lake
    from pomona.store_faults import StoreAway

    folder, _, below = path.partition("/")
    try:
        return zlib.decompress(Lake(deployment.emr.logs, folder, deployment.s3).get(below), wbits=31).decode(errors="replace")
    except (OSError, zlib.error, BadInput, StoreAway):
        return ""
