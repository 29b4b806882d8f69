"""The task that tidies the lake: how many runs stay comes from the form or the deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pomona.command import run_key, tidy_arguments
from pomona.stages import TIDY
from pomona_airflow.deployment import Deployment
from pomona_airflow.stage_operator import StageOperator


class TidyOperator(StageOperator):
    """Runs the job `tidy` with the engine of the deployment."""

    ui_color = "#e5ecf4"

    def __init__(self, **options: Any) -> None:
        options.setdefault("doc_md", _DOC)
        super().__init__(stage=TIDY.name, **options)

    def words(
        self, run_id: str, given: Mapping[str, Any], deployment: Deployment, *, started_by: str = "person", job: str = "", asked: int = 0
    ) -> list[str]:
        """The arguments of `run_stage.py` for tidying, or for a look at what it would do."""
        place = deployment.place(run_key(run_id))
        keep, dry = int(given["keep_runs"] or deployment.keep_runs), bool(given["dry"])
        return tidy_arguments(place, keep_runs=keep, events=deployment.spark_events, dry=dry, job=job, asked=asked)


_DOC = """**tidy** removes what nobody needs any more.

- Runs but the last ones and those of every version that was champion or that MLflow still has; parts that no remaining run names;
  snapshots but the newest; logs and calls older than 30 days, Spark's event logs too.
- Small parts are packed into ones near 32 MB, and runs and snapshot name these from then on.
- It holds the lake: stages wait meanwhile. Killed anywhere, the lake is whole, and the next tidy does the rest."""
