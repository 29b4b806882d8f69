"""The task that puts an earlier version back: version, reason and release from the trigger form become the job's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from pomona.command import rollback_arguments, run_key
from pomona.stages import ROLLBACK
from pomona_airflow.deployment import Deployment
from pomona_airflow.stage_operator import StageOperator


class RollbackOperator(StageOperator):
    """Runs the job `rollback` with the engine of the deployment."""

    ui_color = "#f4e5e5"

    def __init__(self, **options: Any) -> None:
        options.setdefault("doc_md", _DOC)
        super().__init__(stage=ROLLBACK.name, **options)

    def words(
        self, run_id: str, given: Mapping[str, Any], deployment: Deployment, *, started_by: str = "person", job: str = "", asked: int = 0
    ) -> list[str]:
        """The arguments of `run_stage.py` for this rollback or release."""
        release, reason = bool(given["release"]), str(given["reason"] or "").strip()
        if not reason and not release:
            raise AirflowFailException("reason is empty: say why the version is put back, the ledger keeps it")
        place = deployment.place(run_key(run_id))
        version = int(given["version"] or 0)
        return rollback_arguments(place, version=version, reason=reason, release=release, started_by=started_by, job=job, asked=asked)


_DOC = """**rollback** checks an earlier version and makes it champion again.

- The check: its files are there, its own code starts, it gives its probe images the probabilities that it was registered with, and how
  many test images it is right on that it did not train on. A version that fails is not put back, and nothing has changed.
- Afterwards no run promotes a model until the hold is *released*: trigger this DAG with `release`, or `make release`.
- The alias moves at once or not at all, wherever the task is killed."""
