"""`make tidy`: what nobody needs any more leaves the lake; with DRY=1 only told.

Exit code 0: done or told; 2: something that was given, or is there, does not allow it, and one line says what; 1: a fault.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pomona.command import tidy_arguments
from pomona.outcome import BadInput
from pomona.stages import TIDY
from pomona.store_faults import StoreAway
from pomona_airflow.deployment import Deployment, NotReady, of_others
from pomona_airflow.settings.checks import BadSetting
from run import job


def main(words: Sequence[str]) -> int:
    """See the module for the codes."""
    parser = argparse.ArgumentParser(prog="python -m run.tidy", description="What nobody needs any more leaves the lake.")
    parser.add_argument("--dry", default="", help="1: changes nothing, only says what would go")
    given = parser.parse_args(words)
    os.environ |= of_others()
    try:
        if given.dry not in ("", "0", "1"):
            raise BadInput(f"DRY={given.dry!r} is neither 1 nor 0: DRY=1 changes nothing and says what would go")
        deployment = Deployment.from_environment()
        place, dry = deployment.place(job.run_of(TIDY.name)), given.dry == "1"
        ordered = tidy_arguments(place, keep_runs=deployment.keep_runs, events=deployment.spark_events, dry=dry)
        code, line = job.ended(deployment, TIDY.name, ordered, first=f"{deployment.name}: {'looking at' if dry else 'tidying'} its lake")
    except (BadSetting, BadInput, NotReady, StoreAway) as error:
        code, line = 2, str(error)
    print(line, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
