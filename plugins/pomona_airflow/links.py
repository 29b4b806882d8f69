"""Buttons beside a task: the run's outcome, line by line, and its report. The pages themselves are in `pages`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from pomona.command import run_key

PREFIX = "/pomona"


class OutcomeLink(BaseOperatorLink):
    """The page with one line for each stage of the run."""

    name = "What became of it"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return f"{PREFIX}/runs/{quote(run_key(ti_key.run_id))}"


class ReportLink(BaseOperatorLink):
    """The run's report; only the stage that writes it has the button."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return f"{PREFIX}/runs/{quote(run_key(ti_key.run_id))}/report" if operator.task_id == "register" else ""


class JobLink(BaseOperatorLink):
    """The stage's job on AWS; none where it ran with its task."""

    name = "Job on AWS"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return str(getattr(operator, "job_page", ""))
