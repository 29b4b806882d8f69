"""What Airflow imports from its plugins folder: the pages, as an entry of the menu and a tab of each run."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from pomona_airflow import run_note
from pomona_airflow.links import PREFIX, OutcomeLink, ReportLink


def _pages(scope: Any, receive: Any, send: Any) -> Any:
    """The pages' application, imported at the first request: schedulers and workers load plugins too and serve none."""
    from pomona_airflow.pages import app

    return app(scope, receive, send)


class PomonaPlugin(AirflowPlugin):
    name = "pomona"
    fastapi_apps: ClassVar[list[Any]] = [{"app": _pages, "url_prefix": PREFIX, "name": "Pomona"}]
    external_views: ClassVar[list[Any]] = [
        {"name": "Pomona", "href": f"{PREFIX}/", "destination": "nav", "url_route": "pomona", "nav_top_level": True},
        {"name": "Outcome", "href": f"{PREFIX}/runs/{{RUN_ID}}", "destination": "dag_run", "url_route": "pomona-outcome"},
    ]
    operator_extra_links: ClassVar[list[Any]] = [OutcomeLink(), ReportLink()]
    listeners: ClassVar[list[Any]] = [run_note]
