"""Airflow's API, asked: a server of this machine stands in for it where what counts is how it is asked, and what becomes of its faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from run.rest import Rest, asked

ANSWERS = {
    "GET /auth/token": {"access_token": "let-me-in"},
    "PATCH /api/v2/dags/retrain": {"file_token": "of/it's file", "is_paused": False},
    "PUT /api/v2/parseDagFile/of%2Fit%27s%20file": None,
    "POST /api/v2/dags/score/dagRuns": {"dag_run_id": "manual__1"},
    "GET /api/v2/dags/score/dagRuns?order_by=id&limit=100": {"dag_runs": [{"dag_run_id": "manual__1"}]},
    "GET /api/v2/dags/score/dagRuns/a%3A1%2B00/taskInstances?limit=100": {"task_instances": [{"task_id": "score", "state": None}]},
    "GET /text": "no object",
    "GET /broken": {},
}


@pytest.fixture
def asks() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """The server's address, and what it was asked: method and path, who asked, and the body."""
    seen: list[tuple[str, str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            what = f"{self.command} {self.path}"
            seen.append((what, self.headers.get("Authorization", ""), body))
            self.send_response(200 if what in ANSWERS else 404)
            if self.path == "/broken":
                # More is promised than comes.
                self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(json.dumps(ANSWERS.get(what)).encode())

        do_GET = do_PATCH = do_PUT = do_POST = answer

        def log_message(self, format: str, *words: object) -> None:
            """Nothing: the test reads what was asked."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_dag_that_is_switched_on_is_read_anew_at_once(asks: tuple[str, list[tuple[str, str, str]]]) -> None:
    url, seen = asks
    Rest(url).switch_on("retrain")
    assert [what for what in seen if not what[0].startswith("GET /auth")] == [
        ("PATCH /api/v2/dags/retrain", "Bearer let-me-in", '{"is_paused": false}'),
        ("PUT /api/v2/parseDagFile/of%2Fit%27s%20file", "Bearer let-me-in", ""),
    ]


def test_runs_and_tasks_are_told_by_their_names(asks: tuple[str, list[tuple[str, str, str]]]) -> None:
    rest = Rest(asks[0])
    assert rest.trigger("score", note="by hand") == "manual__1"
    assert asks[1][-1][2] == '{"logical_date": null, "note": "by hand"}'
    assert rest.runs("score") == [{"dag_run_id": "manual__1"}]
    assert rest.tasks("score", "a:1+00") == {"score": ""}


def test_what_is_no_object_is_an_empty_one_and_every_fault_an_oserror(asks: tuple[str, list[tuple[str, str, str]]]) -> None:
    url, _ = asks
    assert asked(f"{url}/text") == {}
    for path in ("/nowhere", "/broken"):
        with pytest.raises(OSError):
            asked(f"{url}{path}")
    with pytest.raises(OSError):
        asked("http://127.0.0.1:9/")
