"""`make score`: the champion is asked about the pictures that nobody has labelled.

Exit code 0: asked, or nothing new to ask; 2: something that is there does not allow it, and one line says what; 1: a fault.
"""

from __future__ import annotations

import os
import sys

from pomona.command import score_arguments
from pomona.stages import SCORE
from pomona.store_faults import StoreAway
from pomona_airflow.deployment import Deployment, NotReady, of_others
from pomona_airflow.settings.checks import BadSetting
from run import job


def main() -> int:
    """See the module for the codes."""
    os.environ |= of_others()
    try:
        deployment = Deployment.from_environment()
        if not deployment.unlabelled:
            raise NotReady(f"POMONA_UNLABELLED is not set, and beside {deployment.landing} there is no place: set it")
        ordered = score_arguments(deployment.place(job.run_of(SCORE.name)), drift=deployment.drift.of_job)
        first = f"{deployment.name}: its champion is asked about the pictures in {deployment.unlabelled}"
        code, line = job.ended(deployment, SCORE.name, ordered, first=first)
    except (BadSetting, NotReady, StoreAway) as error:
        code, line = 2, str(error)
    print(line, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
