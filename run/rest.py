"""Airflow's REST API as its own pages ask it: an Airflow of this machine, without a login."""

from __future__ import annotations

import http.client
import json
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


def asked(url: str, *, token: str = "", method: str = "GET", body: dict[str, Any] | None = None, timeout_s: float = 30) -> dict[str, Any]:
    """The JSON object that the address answers; `{}` for any other text.

    Raises
    ------
    OSError
        When it does not answer, or not with success.
    """
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            text = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{url} broke off: {error!r}") from None
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Rest:
    """The API at this address; every question may end with an OSError."""

    url: str

    def ask(self, path: str, method: str = "GET", body: dict[str, Any] | None = None, *, timeout_s: float = 30) -> dict[str, Any]:
        """What the path answers to somebody who is logged in."""
        token = str(asked(f"{self.url}/auth/token", timeout_s=timeout_s).get("access_token", ""))
        return asked(f"{self.url}{path}", token=token, method=method, body=body, timeout_s=timeout_s)

    def pause(self, dag: str, paused: bool) -> str:
        """Airflow's name for the DAG's file, once the DAG is paused or not."""
        return str(self.ask(f"/api/v2/dags/{dag}", "PATCH", {"is_paused": paused})["file_token"])

    def switch_on(self, dag: str) -> None:
        """Unpauses the DAG and has its file read at once: its assets are watched from the next reading on, which may be 30 s away."""
        self.ask(f"/api/v2/parseDagFile/{quote(self.pause(dag, False), safe='')}", "PUT")

    def trigger(self, dag: str, **body: Any) -> str:
        """The id of a new run."""
        return str(self.ask(f"/api/v2/dags/{dag}/dagRuns", "POST", {"logical_date": None, **body})["dag_run_id"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """The first hundred runs of the DAG, the first one first."""
        return list(self.ask(f"/api/v2/dags/{dag}/dagRuns?order_by=id&limit=100")["dag_runs"])

    def tasks(self, dag: str, run_id: str) -> dict[str, str]:
        """The state of each task of the run, by name; empty for one that has not been looked at."""
        found = self.ask(f"/api/v2/dags/{dag}/dagRuns/{quote(run_id, safe='')}/taskInstances?limit=100")["task_instances"]
        return {task["task_id"]: task["state"] or "" for task in found}
