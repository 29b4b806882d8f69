"""The task that asks the champion about unlabelled pictures: the deployment's folder of them becomes the job's argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from pomona.command import run_key, score_arguments
from pomona.stages import SCORE
from pomona_airflow.deployment import Deployment
from pomona_airflow.stage_operator import StageOperator


class ScoreOperator(StageOperator):
    """Runs the job `score` with the engine of the deployment."""

    ui_color = "#e5eef4"

    def __init__(self, **options: Any) -> None:
        options.setdefault("doc_md", _DOC)
        super().__init__(stage=SCORE.name, **options)

    def words(
        self, run_id: str, given: Mapping[str, Any], deployment: Deployment, *, started_by: str = "person", job: str = "", asked: int = 0
    ) -> list[str]:
        """The arguments of `run_stage.py` for this run."""
        if not deployment.unlabelled:
            raise AirflowFailException(f"POMONA_UNLABELLED is not set, and beside {deployment.landing} there is no place: set it")
        return score_arguments(deployment.place(run_key(run_id)), drift=deployment.drift.of_job, job=job, asked=asked)


_DOC = """**score** asks the champion about the pictures that nobody has labelled.

- A picture is asked about once by each champion; when another version has become champion, all of them are asked about again.
- The answers lie in the run's folder of the lake, `scored.csv`: label, probability, margin, whether such a picture is *unknown* to the
  model, and the version that answered. A picture without an answer has its reason there.
- New pictures are compared with those of training, in windows: words, mix of labels, fit, sharpness, light. Its word on that stands in the
  log, and in `health/` in the lake.
- Its state is `scored/` in the lake, which the next run goes on from."""
