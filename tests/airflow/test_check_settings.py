"""`make check-settings`: one line for each thing, the remedy in it, and no job while something is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from run import check_settings
from tests.s3_server import free_port


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the check with these variables over a deployment that lacks nothing; its exit code and its lines by what they are about."""
    (tmp_path / "landing").mkdir()
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(check_settings, "probe", lambda deployment: "it ran")
    for name in ("landing", "lake", "state"):
        monkeypatch.setenv(f"POMONA_{name.upper()}", str(tmp_path / name))

    def run(**variables: str) -> tuple[int, dict[str, tuple[str, str]]]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = check_settings.main()
        split = (line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines())
        return code, {name: (state, text) for state, name, text in split}

    return run


def test_a_deployment_that_lacks_nothing_submits_the_probe(lines) -> None:
    code, said = lines()
    assert code == 0
    assert list(said) == ["settings", "landing", "lake", "java", "jars", "master", "mlflow", "probe"]
    assert {state for state, _ in said.values()} == {"ok"}
    assert said["probe"] == ("ok", "it ran")


def test_a_look_at_a_lake_that_is_not_there_yet_makes_none(lines, tmp_path: Path) -> None:
    lines()
    assert list((tmp_path / "lake").rglob("*")) == []


def test_a_bad_setting_stops_at_once_and_names_the_variable(lines) -> None:
    code, said = lines(POMONA_SPARK_MEMORY="much")
    assert (code, list(said)) == (1, ["settings"])
    assert said["settings"][0] == "missing"
    assert said["settings"][1].startswith("POMONA_SPARK_MEMORY='much' must be like")


def test_every_lack_has_its_line_and_the_probe_is_not_submitted(lines, tmp_path: Path) -> None:
    (tmp_path / "lake").touch()
    port = free_port()
    code, said = lines(
        POMONA_ENGINE="spark",
        POMONA_LANDING=str(tmp_path / "nowhere"),
        POMONA_TRACKING=f"http://127.0.0.1:{port}",
        AIRFLOW_CONN_SPARK_DEFAULT=json.dumps({"conn_type": "spark", "host": f"spark://127.0.0.1:{port}"}),
    )
    assert code == 1
    assert {name for name, (state, _) in said.items() if state == "missing"} == {"landing", "lake", "master", "mlflow", "probe"}
    assert f"the landing zone {tmp_path}/nowhere does not exist" in said["landing"][1]
    assert str(tmp_path / "lake") in said["lake"][1]
    assert said["master"][1].startswith(f"the Airflow connection spark_default leads to spark://127.0.0.1:{port}, where nobody answers")
    assert said["mlflow"][1].startswith(f"POMONA_TRACKING=http://127.0.0.1:{port} does not answer")
    assert said["probe"][1].startswith("not submitted")


def test_missing_jars_and_a_missing_connection_are_named_with_their_remedies(lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SPARK_DEFAULT", raising=False)
    code, said = lines(POMONA_ENGINE="spark", POMONA_SPARK_EVENTS="s3://events")
    assert code == 1
    assert said["jars"] == ("missing", said["jars"][1])
    assert said["jars"][1].endswith("run make s3-jars")
    assert said["master"][1].startswith("there is no Airflow connection spark_default: set AIRFLOW_CONN_SPARK_DEFAULT=")


def test_a_jar_that_was_changed_is_missing(lines, tmp_path: Path) -> None:
    from pomona_airflow.spark.s3_jars import listed

    (tmp_path / "jars").mkdir()
    for jar in listed():
        (tmp_path / "jars" / jar.file).touch()
    code, said = lines(POMONA_SPARK_EVENTS="s3://events", POMONA_S3_JARS=str(tmp_path / "jars"))
    assert (code, said["jars"][0]) == (1, "missing")
    assert "hadoop-aws-3.5.0.jar" in said["jars"][1]


def test_a_lake_in_which_both_of_two_writers_win_is_refused(lines, monkeypatch: pytest.MonkeyPatch) -> None:
    from pomona.lake import Lake

    monkeypatch.setattr(Lake, "creates_exclusively", lambda lake: False)
    code, said = lines()
    assert (code, said["lake"][0]) == (1, "missing")
    assert "If-None-Match" in said["lake"][1]
