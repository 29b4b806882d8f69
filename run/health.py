"""`make health`: the monitoring page, written anew from the lake alone, and one line that says what stands first on it.

Exit code 0: written; 2: something does not allow it, and one line says what; 1: a fault.
"""

from __future__ import annotations

import os
import sys

from pomona.outcome import BadInput
from pomona.store_faults import StoreAway
from pomona_airflow.deployment import Deployment, of_others
from pomona_airflow.settings.checks import BadSetting


def main() -> int:
    """See the module for the codes."""
    os.environ |= of_others()
    try:
        code, line = 0, told(Deployment.from_environment())
    except (BadSetting, BadInput, StoreAway) as error:
        code, line = 2, str(error)
    print(line, file=sys.stderr if code else sys.stdout)
    return code


def told(deployment: Deployment) -> str:
    """What the page says and where it lies, once it is written.

    Raises
    ------
    BadInput
        When another release wrote the lake in a format that this one does not read.
    """
    from pomona.lake import Lake
    from pomona.report import health

    page = health.written(Lake(deployment.lake, deployment.name, deployment.s3).open())
    return f"{deployment.name}: {page.conclusion.line} The page: {page.location}"


if __name__ == "__main__":
    sys.exit(main())
