"""`make forget`: an image is taken out of lake and MLflow for good, and the versions that trained on it are named.

Exit code 0: done; 2: something that was given, or is there, does not allow it, and one line says what; 1: a fault.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pomona.care import forgotten
from pomona.lake import Lake
from pomona.outcome import BadInput
from pomona.store_faults import StoreAway
from pomona_airflow.deployment import Deployment, of_others
from pomona_airflow.settings.checks import BadSetting
from run import job


def main(words: Sequence[str]) -> int:
    """See the module for the codes."""
    parser = argparse.ArgumentParser(prog="python -m run.forget", description="Takes an image out of lake and MLflow for good.")
    parser.add_argument("--sha", default="", help="SHA-256 of the image's file")
    parser.add_argument("--reason", default="", help="why, in words: kept in the record")
    given = parser.parse_args(words)
    os.environ |= of_others()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.WARNING)
    logging.getLogger("pomona").setLevel(logging.INFO)
    try:
        deployment = Deployment.from_environment()
        lake = Lake(deployment.lake, deployment.name, deployment.s3)
        content = forgotten.checked(given.sha)
        if lake.document("format.json") is None:
            raise BadInput(f"there is no lake at {lake.location('')}: set POMONA_NAME and POMONA_LAKE to the one that holds the image")
        lake.open()
        from pomona.care.forgetting import forget
        from pomona.tracking import versions

        # Who trained on it must be known before anything of it goes.
        job.asked(deployment.tracking, lambda: versions(deployment.tracking, deployment.name))
        line = told(deployment.name, forget(lake, deployment.tracking, content, by=job.person(), reason=given.reason))
    except (BadSetting, BadInput, StoreAway) as error:
        print(error, file=sys.stderr)
        return 2
    print(line)
    return 0


def told(name: str, entry: Mapping[str, Any]) -> str:
    """What was forgotten and who trained on it, in one line."""
    versions = ", ".join(map(str, entry["versions"]))
    trained = f"versions {versions} of {name} trained on it" if entry["versions"] else f"no version of {name} trained on it"
    if not entry["versions"] and entry["runs"]:
        trained += f", but the runs {', '.join(entry['runs'])} did"
    if not entry["found"]:
        trained += "; nothing of it was found in lake or MLflow, so look whether SHA is that of the picture's file"
    return f"{entry['content'][:12]}… is forgotten (record {entry['number']} of {entry['at']}): {trained}; ingest will not take it in again"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
