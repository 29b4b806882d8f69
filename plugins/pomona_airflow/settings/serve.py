"""How the service answers: the variables POMONA_SERVE_…, as `deployment` reads them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pomona_airflow.settings import checks as check
from pomona_airflow.settings.checks import BadSetting, Read


@dataclass(frozen=True)
class Serve:
    """Images answered at once, requests that may wait beside them, the largest body, and the share of images that is kept in `log`.

    `log` None: nothing is kept.
    """

    workers: int
    queue: int
    max_mb: int
    log: Path | None
    sample: float


def read_serve(read: Read) -> Serve:
    """The settings that the variables describe.

    Raises
    ------
    BadSetting
        Names the variable, its value and what is allowed.
    """
    log, sample = read("POMONA_SERVE_LOG"), check.share("POMONA_SERVE_SAMPLE", read("POMONA_SERVE_SAMPLE"))
    if "://" in log:
        raise BadSetting(f"POMONA_SERVE_LOG={log!r} must be a folder of the machine that the service runs on")
    if sample and not log:
        raise BadSetting(f"POMONA_SERVE_SAMPLE={read('POMONA_SERVE_SAMPLE')!r} needs POMONA_SERVE_LOG, the folder to keep images in")
    return Serve(
        workers=check.number(read, "POMONA_SERVE_WORKERS", os.cpu_count() or 1, 1),
        queue=check.number(read, "POMONA_SERVE_QUEUE", 32, 0),
        max_mb=check.number(read, "POMONA_SERVE_MAX_MB", 32, 1),
        log=Path(log).expanduser().absolute() if log else None,
        sample=sample,
    )
