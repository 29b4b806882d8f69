"""The pages inside Airflow's UI: nothing that somebody named a label or a file runs in a browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from pomona.lake import Lake
from pomona.report.health import written
from pomona.store_faults import StoreAway
from pomona_airflow.pages import app

RUN = "manual__2026-01-02T03:04:05+00:00"
KEY = "manual__2026-01-02T03-04-05-00-00"
NASTY = "<script>alert('plum')</script>"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    (tmp_path / "in").mkdir()
    for name, value in (("LANDING", tmp_path / "in"), ("LAKE", tmp_path / "lake"), ("NAME", "fruit")):
        monkeypatch.setenv(f"POMONA_{name}", str(value))
    monkeypatch.setitem(app.dependency_overrides, get_user, lambda: None)
    return TestClient(app)


def test_an_empty_landing_zone_gets_a_page_that_says_what_to_do(client: TestClient, tmp_path: Path) -> None:
    text = client.get("/").text
    assert "is empty" in text
    assert f"{tmp_path / 'in'}/Training/apple/one.jpg" in text
    (tmp_path / "in" / "one.jpg").touch()
    assert "is empty" not in client.get("/").text


def test_the_first_page_says_what_starts_a_run_by_itself(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    text = client.get("/").text
    assert "when 20 new pictures have arrived and none came for 60 s, or when the oldest has waited 3,600 s." in text
    assert "schedule" not in text
    monkeypatch.setenv("POMONA_POLL_S", "0")
    monkeypatch.setenv("POMONA_SCHEDULE", "0 3 * * *")
    text = client.get("/").text
    assert "nobody watches for them. It also runs by its schedule, <code>0 3 * * *</code>." in text


@pytest.mark.parametrize("job", ["score", "rollback", "tidy"])
def test_the_page_of_a_job_that_is_no_stage_tells_of_it_alone(job: str, client: TestClient, tmp_path: Path) -> None:
    outcomes = tmp_path / "lake" / "fruit" / "runs" / KEY / "outcomes"
    outcomes.mkdir(parents=True)
    (outcomes / f"{job}.json").write_text(json.dumps({"status": "done", "line": "3 of 9 done", "seconds": 2.0}))
    text = client.get(f"/runs/{RUN}").text
    assert "3 of 9 done" in text
    assert "describe" not in text
    # A schedule may have begun a run of `retrain` in the same second.
    (outcomes / "ingest.json").write_text(json.dumps({"status": "done", "line": "160 in, 160 kept", "seconds": 3.0}))
    text = client.get(f"/runs/{RUN}").text
    assert "3 of 9 done" in text and "160 in, 160 kept" in text and "not yet: computes local descriptors" in text


def test_the_page_of_a_run_says_what_started_it(client: TestClient, tmp_path: Path) -> None:
    manifests = tmp_path / "lake" / "fruit" / "runs" / KEY / "manifests"
    manifests.mkdir(parents=True)
    (manifests / "ingest.json").write_text(json.dumps({"notes": {"started_by": f"person ({NASTY})"}}))
    text = client.get(f"/runs/{RUN}").text
    assert "Started by: person (&lt;script&gt;" in text
    assert NASTY not in text


def test_the_page_of_a_run_shows_each_stages_line_escaped(client: TestClient, tmp_path: Path) -> None:
    outcomes = tmp_path / "lake" / "fruit" / "runs" / KEY / "outcomes"
    outcomes.mkdir(parents=True)
    (outcomes / "ingest.json").write_text(json.dumps({"status": "bad_input", "line": f"label {NASTY} has one image", "seconds": 1.5}))
    answer = client.get(f"/runs/{RUN}")
    assert NASTY not in answer.text
    assert "label &lt;script&gt;" in answer.text
    assert "1.5 s" in answer.text
    assert "not yet: makes the model an MLflow version" in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert f"/pomona/runs/{KEY}" in client.get("/").text


def test_the_report_is_served_with_nothing_allowed_to_run(client: TestClient, tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "fruit" / "runs" / KEY
    folder.mkdir(parents=True)
    assert client.get(f"/runs/{RUN}/report").status_code == 404
    (folder / "report.html").write_text("<p>0.99")
    answer = client.get(f"/runs/{RUN}/report")
    assert answer.text == "<p>0.99"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_monitoring_page_is_served_with_nothing_allowed_to_run_and_linked_once_it_is_there(client: TestClient, tmp_path: Path) -> None:
    answer = client.get("/health")
    assert answer.status_code == 404
    assert "fruit has no monitoring page yet: the DAG score writes it, or `make health`" in answer.json()["detail"]
    assert "/pomona/health" not in client.get("/").text
    page = written(Lake(str(tmp_path / "lake"), "fruit"))
    answer = client.get("/health")
    assert answer.text == Path(page.location).read_text(encoding="utf-8")
    assert answer.headers["content-security-policy"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "<a href='/pomona/health' target=_blank>" in client.get("/").text
    app.dependency_overrides.clear()
    assert TestClient(app, raise_server_exceptions=False).get("/health").status_code >= 400


def test_the_latest_runs_come_first_whatever_started_them(client: TestClient, tmp_path: Path) -> None:
    for name in ("scheduled__2026-03-01T00-00-00-00-00", "manual__2026-01-01T00-00-00-00-00", "asset_triggered__2026-02-01T00-00-00-00-00"):
        (tmp_path / "lake" / "fruit" / "runs" / name).mkdir(parents=True)
    text = client.get("/").text
    assert text.index("scheduled__") < text.index("asset_triggered__") < text.index("manual__")


def test_a_lake_out_of_reach_is_told_in_its_own_line(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POMONA_LAKE", "gopher://hole/lake")
    answer = client.get(f"/runs/{RUN}")
    assert answer.status_code == 503
    assert "gopher://hole/lake" in answer.text


def test_a_store_that_is_away_and_a_wrong_setting_are_told_in_their_own_lines(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(lake: Lake, folder: str) -> list[str]:
        raise StoreAway("s3://lake cannot be reached (EndpointConnectionError): check POMONA_S3_ENDPOINT")

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "folders", away)
        answer = client.get("/")
        assert answer.status_code == 503 and "s3://lake cannot be reached" in answer.text
    monkeypatch.setenv("POMONA_KEEP_RUNS", "many")
    answer = client.get("/")
    assert answer.status_code == 503 and "POMONA_KEEP_RUNS=&#x27;many&#x27; must be a whole number" in answer.text


@pytest.mark.parametrize("run", ["..", "%2e%2e", "..%2f..%2fother", "%2Fetc"])
def test_no_run_leads_out_of_the_lake(client: TestClient, tmp_path: Path, run: str) -> None:
    (tmp_path / "lake" / "fruit").mkdir(parents=True)
    (tmp_path / "lake" / "report.html").write_text("outside")
    (tmp_path / "lake" / "fruit" / "report.html").write_text("outside")
    assert "outside" not in client.get(f"/runs/{run}/report").text


def test_without_a_login_there_is_no_page(client: TestClient) -> None:
    app.dependency_overrides.clear()
    assert TestClient(app, raise_server_exceptions=False).get("/").status_code >= 400
