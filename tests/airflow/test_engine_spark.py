"""The engine `spark`: which connections it takes, what it tells Spark, and which code it ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

from pomona.s3 import S3
from pomona_airflow.code_zip import code_zip
from pomona_airflow.deployment import PROJECT, Deployment, NotReady
from pomona_airflow.spark import s3a, spark_home
from pomona_airflow.spark.engine_spark import Engine, NoMaster, master_of
from pomona_airflow.spark.s3_jars import NoJars

STANDALONE: dict[str, Any] = {"conn_type": "spark", "host": "spark://master:7077"}


def engine(**settings: str) -> Engine:
    return Engine(Deployment.from_environment({"POMONA_ENGINE": "spark", **settings}))


def connected(monkeypatch: pytest.MonkeyPatch, **connection: object) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", json.dumps(connection))


def test_a_missing_connection_is_named_and_never_means_yarn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SPARK_DEFAULT", raising=False)
    with pytest.raises(NoMaster, match=r"^there is no Airflow connection spark_default: set AIRFLOW_CONN_SPARK_DEFAULT='\{.*7077"):
        engine().connection()
    with pytest.raises(NoMaster, match=r"^there is no Airflow connection farm: set AIRFLOW_CONN_FARM="):
        engine(POMONA_SPARK_CONNECTION="farm").connection()


@pytest.mark.parametrize(
    ("connection", "master"),
    [
        (STANDALONE, "spark://master:7077"),
        ({"conn_type": "spark", "host": "master", "port": 7077}, "spark://master:7077"),
        ({"conn_type": "spark", "host": "spark://one:7077,two:7077"}, "spark://one:7077,two:7077"),
        ({"conn_type": "spark", "host": "yarn"}, "yarn"),
        ({"conn_type": "spark", "host": "k8s://https://kubernetes:6443"}, "k8s://https://kubernetes:6443"),
    ],
)
def test_the_master_of_a_connection(monkeypatch: pytest.MonkeyPatch, connection: dict[str, object], master: str) -> None:
    connected(monkeypatch, **connection)
    assert master_of(engine().connection()) == master


@pytest.mark.parametrize("host", ["local[*]", "", "http://master:8080", "master"])
def test_a_connection_that_leads_to_no_cluster_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    connected(monkeypatch, conn_type="spark", host=host)
    with pytest.raises(NoMaster, match=r"^the Airflow connection spark_default leads to '.*', which is none of"):
        engine().connection()


def test_a_connection_that_wants_the_driver_on_the_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    connected(monkeypatch, **STANDALONE, extra={"deploy-mode": "cluster"})
    with pytest.raises(NoMaster, match="asks for deploy-mode cluster: take it out"):
        engine().connection()


def test_the_deployment_s_settings_reach_spark() -> None:
    settings = {"POMONA_SPARK_CORES": "3", "POMONA_SPARK_EXECUTOR_MEMORY": "900m", "POMONA_SPARK_DRIVER_HOST": "10.0.0.7"}
    conf = engine(**settings).conf(Connection(conn_id="c", **STANDALONE))
    assert conf == {"spark.executor.memory": "900m", "spark.driver.host": "10.0.0.7", "spark.cores.max": "3"}
    assert "spark.cores.max" not in engine().conf(Connection(conn_id="c", **STANDALONE))


def test_yarn_and_kubernetes_count_in_executors_and_take_more_settings_from_the_connection() -> None:
    extra = json.dumps({"conf": {"spark.kubernetes.container.image": "pomona:1", "spark.executor.memory": "3g"}})
    cluster = Connection(conn_id="c", conn_type="spark", host="k8s://https://kubernetes:6443", extra=extra)
    assert engine(POMONA_SPARK_CORES="3").conf(cluster) == {
        "spark.executor.instances": "3",
        "spark.executor.cores": "1",
        "spark.executor.memory": "3g",
        "spark.kubernetes.container.image": "pomona:1",
    }


def test_a_secret_in_the_connection_s_settings_is_refused_and_not_repeated() -> None:
    extra = json.dumps({"conf": {"spark.authenticate.secret": "recognisable"}})
    with pytest.raises(NoMaster, match=r"^the Airflow connection c has spark\.authenticate\.secret in its extra conf") as refused:
        engine().conf(Connection(conn_id="c", **STANDALONE, extra=extra))
    assert "recognisable" not in str(refused.value)


def test_the_executors_python_may_be_another_than_the_driver_s() -> None:
    home = spark_home.prepared(Deployment.from_environment({}).state)
    ours, theirs = engine().variables(home), engine(POMONA_SPARK_PYTHON="/opt/python").variables(home)
    assert ours["PYSPARK_PYTHON"] == ours["PYSPARK_DRIVER_PYTHON"] == theirs["PYSPARK_DRIVER_PYTHON"] == sys.executable
    assert theirs["PYSPARK_PYTHON"] == "/opt/python"
    assert "SPARK_LOCAL_IP" not in ours


def test_the_code_s_zip_is_named_by_what_is_in_it_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = code_zip(tmp_path)
    assert code_zip(tmp_path) == made
    again = code_zip(tmp_path / "elsewhere")
    assert (again.name, again.read_bytes()) == (made.name, made.read_bytes())
    with zipfile.ZipFile(made) as archive:
        assert {"pomona/__init__.py", "pomona/jobs/describe.py", "pomona/report/page.html"} <= set(archive.namelist())
        assert not [name for name in archive.namelist() if "__pycache__" in name]
    program = "import pomona.work; print(pomona.work.__file__, pomona.work.code_hash())"
    told = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(path)!r}); {program}"], capture_output=True, text=True, check=True
        )
        for path in (made, PROJECT / "spark_jobs")
    ]
    assert made.name in told[0].stdout
    assert told[0].stdout.split()[1] == told[1].stdout.split()[1]


def test_other_code_makes_another_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "spark_jobs" / "pomona"
    package.mkdir(parents=True)
    monkeypatch.setattr("pomona_airflow.code_zip.PACKAGE", package)
    (package / "one.py").write_text("1")
    before = code_zip(tmp_path)
    (package / "one.py").write_text("2")
    assert code_zip(tmp_path) != before


def test_a_server_of_one_s_own_is_asked_by_path_and_without_tls() -> None:
    conf = s3a.settings(S3(endpoint="http://127.0.0.1:7070"))
    assert conf["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:7070"
    assert conf["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert conf["spark.hadoop.fs.s3a.connection.ssl.enabled"] == "false"


def test_aws_itself_is_asked_by_its_own_names_and_encrypts_as_told() -> None:
    conf = s3a.settings(S3(region="eu-central-1", encryption="aws:kms", kms_key="alias/pomona"))
    assert conf["spark.hadoop.fs.s3a.endpoint.region"] == "eu-central-1"
    assert conf["spark.hadoop.fs.s3a.encryption.algorithm"] == "SSE-KMS"
    assert conf["spark.hadoop.fs.s3a.encryption.key"] == "alias/pomona"
    assert not [name for name in conf if name.endswith((".endpoint", "path.style.access"))]


def test_no_setting_of_spark_s_holds_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "recognisable")
    conf = s3a.s3a(Deployment.from_environment({"POMONA_SPARK_EVENTS": "s3://events"}))
    assert conf
    assert "recognisable" not in " ".join(conf.values())
    assert not [name for name in conf if "secret" in name or "access.key" in name]


def test_events_that_cannot_be_written_stop_the_stage_before_spark_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(NotReady, match=r"^s3://lake/events cannot be asked, .* credentials"):
        s3a.event_log(Deployment.from_environment({"POMONA_SPARK_EVENTS": "s3://lake/events"}))


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"POMONA_LAKE": "s3://lake/lakes"}, False),
        ({"POMONA_SPARK_EVENTS": "s3://events"}, True),
        ({"POMONA_LANDING": "s3://landing/pictures"}, False),
        ({}, False),
    ],
)
def test_the_jars_are_asked_for_only_when_spark_itself_opens_s3(tmp_path: Path, settings: dict[str, str], wanted: bool) -> None:
    deployment = Deployment.from_environment({**settings, "POMONA_STATE": str(tmp_path)})
    if wanted:
        with pytest.raises(NoJars, match="make s3-jars"):
            spark_home.home_of(deployment)
    else:
        assert spark_home.home_of(deployment).folder.is_dir()


def test_a_home_with_more_jars_has_a_folder_of_its_own(tmp_path: Path) -> None:
    more = tmp_path / "more-1.jar"
    more.touch()
    with_it, without = spark_home.prepared(tmp_path, [more]), spark_home.prepared(tmp_path)
    assert with_it.folder != without.folder
    names = {path.name for path in (without.folder / "jars").iterdir()}
    assert {path.name for path in (with_it.folder / "jars").iterdir()} == names | {"more-1.jar"}


def test_events_on_s3_are_written_by_hadoop_s_name_for_it(tmp_path: Path) -> None:
    assert s3a.event_log(Deployment.from_environment({"POMONA_SPARK_EVENTS": "s3://events"}))["spark.eventLog.dir"] == "s3a://events"
    assert s3a.event_log(Deployment.from_environment({"POMONA_SPARK_EVENTS": str(tmp_path / "new")}))["spark.eventLog.dir"] == str(
        tmp_path / "new"
    )
    assert (tmp_path / "new").is_dir()


def test_events_lie_in_the_state_folder_unless_they_are_switched_off_or_emr_keeps_its_own(tmp_path: Path) -> None:
    state = {"POMONA_STATE": str(tmp_path)}
    assert s3a.event_log(Deployment.from_environment(state))["spark.eventLog.dir"] == str(tmp_path / "events")
    assert s3a.event_log(Deployment.from_environment({**state, "POMONA_SPARK_EVENTS": "none"})) == {}
    places = {f"POMONA_{name}": f"s3://b/{name}" for name in ("LANDING", "LAKE")}
    on_emr = {**state, **places, "POMONA_ENGINE": "emr", "POMONA_TRACKING": "http://m:5000"}
    assert s3a.event_log(Deployment.from_environment(on_emr)) == {}
