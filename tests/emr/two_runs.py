"""Two runs of all stages in one Spark session, through the entry point, which a test gives to spark-submit: a JSON line of what was used.

    spark-submit --py-files pomona.zip two_runs.py run_stage.py LAKE TRACKING KNOBS LANDING LANDING

The second run judges the champion of the first. Nothing is imported here but what a job has: its entry point's folder and the zip.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(entry: str, lake: str, tracking: str, knobs: str, *landings: str) -> dict[str, str]:
    """Where the package came from, and the version of Spark."""
    sys.path.insert(0, str(Path(entry).parent))
    import pomona
    import run_stage
    from pomona import command, work
    from pomona import knobs as contract
    from pomona.stages import STAGES

    for number, landing in enumerate(landings, 1):
        place = command.Place(f"run-{number}", "tests", lake, landing, tracking)
        for stage in STAGES:
            code = run_stage.main(command.arguments(stage, place, contract.resolve(json.loads(knobs))))
            if code:
                sys.exit(f"{stage} of run {number} ended with {code}")
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    answer = {"package": str(pomona.__file__), "spark": session.version, "python": sys.prefix, "code": work.code_hash()}
    session.stop()
    return answer


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
