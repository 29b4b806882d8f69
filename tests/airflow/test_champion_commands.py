"""`make served`, `make rollback`, `make release`: their lines, their exit codes, and what the pages say of a hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from pomona.lake import Lake
from pomona_airflow.pages import app
from run import champion
from run.table import table

AT = "2026-11-17T14:00:00+00:00"
ON_EMR = {
    "POMONA_ENGINE": "emr",
    "POMONA_LANDING": "s3://bucket/in",
    "POMONA_LAKE": "s3://bucket/lake",
    "POMONA_TRACKING": "http://127.0.0.1:9",
}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake whose ledger holds promotion since a rollback to a version that MLflow knows nothing of any more."""
    for name, value in {
        "LAKE": tmp_path / "lake",
        "NAME": "fruit",
        "STATE": tmp_path,
        "TRACKING": f"sqlite:///{tmp_path}/mlflow.db",
    }.items():
        monkeypatch.setenv(f"POMONA_{name}", str(value))
    made = Lake(str(tmp_path / "lake"), "fruit").open()
    ends = {"from": 2, "to": 1, "run": "back", "at": AT}
    made.append("promotions", 1, {"number": 1, "kind": "intent", "by": "person (ann)", "reason": "lemons", "hold": True, **ends})
    made.append("promotions", 2, {"number": 2, "kind": "outcome", "intent": 1, "result": "moved", **ends})
    return made


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and all that was printed."""
    code = champion.main(words)
    printed = capsys.readouterr()
    assert not (printed.out and printed.err), "one line, on one stream"
    return code, (printed.out or printed.err).strip()


def test_what_served_is_one_line_and_an_alias_gone_meanwhile_is_noted(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, "served", "--at=2026-11-17 14:00")
    assert code == 0
    assert line.startswith("version 1 of fruit served at 2026-11-17 14:00:00 UTC: since 2026-11-17 14:00:00 UTC, until some time between")
    assert lake.entries("promotions")[-1]["line"] == "the alias was moved by hand from version 1 to no version"
    code, line = said(capsys, "served")
    assert (code, line.startswith("no version of fruit is champion since some time between 2026-11-17 14:00:00 UTC and ")) == (0, True)
    assert "automatic promotion is held since the rollback to version 1 by person (ann)" in line
    code, line = said(capsys, "release", "--reason=mended")
    assert (code, line) == (0, "automatic promotion of fruit goes on; it was held since the rollback to version 1")
    assert said(capsys, "release") == (0, "automatic promotion of fruit is not held")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["served", "--at=yesterday"], "AT='yesterday' is no time: write it like AT='2026-11-17 14:00'"),
        (["served", "--at=2999-01-01"], "AT='2999-01-01' is still to come"),
        (["rollback"], "REASON is missing: say why, like make rollback TO=3"),
        (["rollback", "--reason=x", "--to=three"], "TO='three' is no version: give its number"),
    ],
)
def test_what_is_given_wrong_is_one_line_with_the_remedy_and_exit_code_2(
    lake: Lake, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    code, printed = said(capsys, *words)
    assert (code, printed.startswith(line)) == (2, True), printed
    assert len(lake.entries("promotions")) == 2


def test_on_emr_without_a_cluster_the_way_back_is_the_dag(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ON_EMR.items():
        monkeypatch.setenv(name, value)
    code, line = said(capsys, "rollback", "--reason=x")
    assert (code, line.split(",")[0]) == (2, "there is no cluster to submit to: trigger the DAG rollback")


def test_an_mlflow_that_is_away_is_one_line(lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POMONA_TRACKING", "http://127.0.0.1:9")
    code, line = said(capsys, "served")
    assert (code, line.startswith("MLflow at http://127.0.0.1:9 does not answer (")) == (2, True)
    assert line.endswith("): start the server there, or set POMONA_TRACKING")


def test_the_pages_tell_the_champion_the_hold_and_what_became_of_a_rollback(lake: Lake) -> None:
    lake.put_outcome("back", "rollback", {"status": "bad_input", "line": "version 1 is <b>broken</b>", "seconds": 2.0})
    app.dependency_overrides[get_user] = lambda: None
    try:
        client = TestClient(app)
        assert "version 1 of fruit serves since 2026-11-17 14:00:00 UTC" in (start := client.get("/").text)
        assert "automatic promotion is held since the rollback to version 1" in start
        page = client.get("/runs/back").text
    finally:
        app.dependency_overrides.clear()
    assert "version 1 is &lt;b&gt;broken&lt;/b&gt;" in page
    assert "describe" not in page


def test_the_table_of_a_run_says_why_a_model_that_is_better_was_kept() -> None:
    counts = dict.fromkeys(("in", "kept", "rejected", "ignored", "train", "test", "labels", "groups"), 1)
    scores = dict.fromkeys(("accuracy", "macro_f1"), 0.5) | {f"{score}_interval": [None, None] for score in ("accuracy", "macro_f1")}
    summary = {
        "counts": counts,
        "scores": {"official": {**scores, "n_images": 1, "n_groups": 1}, "group_safe": {}},
        "model": {"name": "fruit", "version": 3, "champion": False},
        "verdict": {"decision": "promote", "reason": "better"},
        "files": {"report": "report.html"},
    }
    line = "version 3 of fruit: kept: promotion is held"
    outcomes = {"register": {"seconds": 1.0, "line": line}}
    assert f"  {'':<9} {line}" in table(summary, outcomes, "/lake", 1.0).splitlines()
    summary["model"] = {"name": "fruit", "version": 3, "champion": True}
    assert line not in table(summary, outcomes, "/lake", 1.0)
