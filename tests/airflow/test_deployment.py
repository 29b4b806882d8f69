"""The deployment: its variables, their defaults, and what it says about a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pomona_airflow.deployment import PROJECT, Deployment, dotenv, of_others
from pomona_airflow.settings.checks import BadSetting, slug


def test_every_variable_that_is_read_stands_in_the_example_with_a_comment_and_no_other() -> None:
    read: set[str] = set()

    class Spy(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            read.add(name)
            return default

    Deployment.from_environment(Spy())
    lines = (PROJECT / ".env.example").read_text().splitlines()
    listed = [line.split("=")[0] for line in lines if re.match(r"[A-Z0-9_]+=", line)]
    assert sorted(listed) == sorted(read)
    for number, line in enumerate(lines):
        if re.match(r"[A-Z0-9_]+=", line):
            assert re.match(r"#|[A-Z0-9_]+=", lines[number - 1]), f"{line} has no comment above it"


def test_the_example_as_it_stands_gives_the_defaults() -> None:
    assert Deployment.from_environment(dotenv(PROJECT / ".env.example")) == Deployment.from_environment({})


def test_nothing_but_the_deployment_reads_a_variable_of_pomona() -> None:
    for folder in ("dags", "plugins", "serving", "spark_jobs"):
        for path in (PROJECT / folder).rglob("*.py"):
            if path.name != "deployment.py":
                assert not re.search(r"(environ|getenv)\b.{0,8}POMONA_", path.read_text()), path


def test_nothing_but_the_deployment_says_where_a_job_works() -> None:
    for folder in ("dags", "plugins", "run"):
        for path in (PROJECT / folder).rglob("*.py"):
            assert path.name == "deployment.py" or not re.search(r"\bPlace\(", path.read_text()), path


@pytest.mark.parametrize(
    ("landing", "name"),
    [
        ("/data/fruits10", "fruits10"),
        ("/data/My Fruit/", "my-fruit"),
        ("s3://bucket/In Box", "in-box"),
        ("/data/Äpfel", "pfel"),
        ("/", "pomona"),
    ],
)
def test_the_name_comes_from_the_landing_folders_name(landing: str, name: str) -> None:
    assert Deployment.from_environment({"POMONA_LANDING": landing}).name == name


@pytest.mark.parametrize(
    ("landing", "labels"),
    [
        ("/data/fruits10/", "/data/labels"),
        ("/in", "/labels"),
        ("/", ""),
        ("s3://bucket/in/box", "s3://bucket/in/labels"),
        ("s3://bucket", ""),
    ],
)
def test_labels_and_images_without_one_lie_beside_the_landing_zone_and_never_in_it(landing: str, labels: str) -> None:
    read = Deployment.from_environment({"POMONA_LANDING": landing})
    assert (read.labels, read.unlabelled) == (labels, labels.replace("labels", "unlabelled"))
    place = read.place("r")
    assert (place.run, place.landing, place.annotations, place.unlabelled) == ("r", read.landing, read.labels, read.unlabelled)


def test_labels_may_lie_elsewhere_or_nowhere() -> None:
    read = Deployment.from_environment({"POMONA_LANDING": "/data/in", "POMONA_LABELS": "s3://team/words", "POMONA_UNLABELLED": "none"})
    assert (read.labels, read.unlabelled) == ("s3://team/words", "")
    with pytest.raises(BadSetting, match="POMONA_LABELS holds a password, which every process list would show: give credentials as AWS_"):
        Deployment.from_environment({"POMONA_LABELS": "s3://me:secret@bucket/labels"})
    with pytest.raises(BadSetting, match="POMONA_LABELS='/here' cannot be reached from AWS"):
        Deployment.from_environment(
            {
                "POMONA_ENGINE": "emr",
                "POMONA_LANDING": "s3://b/in",
                "POMONA_LAKE": "s3://b/lake",
                "POMONA_TRACKING": "http://m",
                "POMONA_LABELS": "/here",
            }
        )


def test_a_relative_folder_is_taken_from_where_the_command_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read = Deployment.from_environment({"POMONA_LANDING": "in", "POMONA_LAKE": "s3://bucket/lake"})
    assert read.landing == str(tmp_path / "in")
    assert read.lake == "s3://bucket/lake"


def test_the_landing_uri_bears_blanks_and_percent_signs() -> None:
    assert Deployment.from_environment({"POMONA_LANDING": "/a b/50%"}).landing_uri == "file:///a%20b/50%25"


def test_an_empty_folder_tree_is_an_empty_landing(tmp_path: Path) -> None:
    (tmp_path / "Training" / "apple").mkdir(parents=True)
    deployment = Deployment.from_environment({"POMONA_LANDING": str(tmp_path)})
    assert deployment.landing_is_empty
    (tmp_path / "Training" / "apple" / "one.jpg").touch()
    assert not deployment.landing_is_empty


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POMONA_NAME", "My Fruit"),
        ("POMONA_ENGINE", "yarn"),
        ("POMONA_SCHEDULE", "every day"),
        ("POMONA_SCHEDULE", "0 25 * * *"),
        ("POMONA_SCORE_SCHEDULE", "@dayly"),
        ("POMONA_TIDY_SCHEDULE", "0 4 * * 8"),
        ("POMONA_SPARK_CORES", "0"),
        ("POMONA_SPARK_MEMORY", "2 gigabytes"),
        ("POMONA_SPARK_UI", "perhaps"),
        ("POMONA_AIRFLOW_PORT", "80000"),
        ("POMONA_SERVE_WORKERS", "0"),
        ("POMONA_SERVE_SAMPLE", "1.5"),
        ("POMONA_DRIFT_WINDOW", "-1"),
        ("POMONA_DRIFT_GROUPS", "0"),
        ("POMONA_DRIFT_RATE", "0"),
        ("POMONA_DRIFT_REJECTS", "1"),
        ("POMONA_DRIFT_MIX", "usual"),
        ("POMONA_DRIFT_RETRAIN", "perhaps"),
        ("POMONA_SERVE_SAMPLE", "5%"),
        ("POMONA_SERVE_SAMPLE", "0.1"),
        ("POMONA_SERVE_LOG", "s3://bucket/asked"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(variable: str, value: str) -> None:
    with pytest.raises(BadSetting, match=re.escape(f"{variable}={value!r}")):
        Deployment.from_environment({variable: value})


@pytest.mark.parametrize("value", ["0 3 * * *", "*/5 8-18 * * mon-fri", "@daily", "@quarterly"])
def test_a_schedule_that_airflow_reads_is_taken(value: str) -> None:
    assert Deployment.from_environment({"POMONA_SCHEDULE": value}).schedule == value


def test_a_share_of_what_is_asked_is_kept_in_a_folder(tmp_path: Path) -> None:
    serve = Deployment.from_environment({"POMONA_SERVE_LOG": str(tmp_path), "POMONA_SERVE_SAMPLE": ".05"}).serve
    assert (serve.log, serve.sample) == (tmp_path, 0.05)
    assert Deployment.from_environment({}).serve.log is None


def test_a_dotenv_file_may_have_comments_quotes_and_equal_signs(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# a=b\n\nPOMONA_NAME='x'\nPOMONA_TRACKING = http://h?a=b\n")
    assert dotenv(path) == {"POMONA_NAME": "x", "POMONA_TRACKING": "http://h?a=b"}
    assert dotenv(tmp_path / "none") == {}


def test_lines_of_the_readme_are_read_from_a_dotenv_file_as_they_stand_there(tmp_path: Path) -> None:
    """Comments behind the values among them, as Docker Compose reads the same file."""
    section = (PROJECT / "README.md").read_text().partition("## A bucket, a cluster\n")[2]
    (tmp_path / ".env").write_text(section.partition("```sh\n")[2].partition("```")[0])
    assert dotenv(tmp_path / ".env") == {
        "POMONA_LANDING": "s3://bucket/landing",
        "POMONA_LAKE": "s3://bucket/lake",
        "POMONA_S3_ENDPOINT": "",
        "POMONA_ENGINE": "spark",
        "AIRFLOW_CONN_SPARK_DEFAULT": '{"conn_type":"spark","host":"spark://master:7077"}',
    }


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=x#y", "x#y"),
        ("A='x # y' # 'z'", "x # y"),
        ('A="x"', "x"),
        ("export A=x", "x"),
        ("A=0 4 * * 0", "0 4 * * 0"),
        ("A=#x", "#x"),
        ("A= # x", ""),
        ("A=it's", "it's"),
        ("A=", ""),
    ],
)
def test_a_comment_begins_behind_a_blank_and_outside_of_quotes(line: str, value: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(line)
    assert dotenv(tmp_path / ".env") == {"A": value}


def test_a_slug_is_a_slug_of_itself() -> None:
    for text in ("Apple Red 1", "--x--", "Ünï", "a_b-c", "…"):
        assert slug(slug(text)) == slug(text)


def test_credentials_and_connections_in_the_file_are_handed_on_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    lines = [
        "AWS_ACCESS_KEY_ID=one",
        "AWS_REGION=eu-west-1",
        """AIRFLOW_CONN_SPARK_DEFAULT='{"conn_type":"spark"}'""",
        "POMONA_NAME=x",
        "PATH=/",
    ]
    file.write_text("\n".join(lines))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AIRFLOW_CONN_SPARK_DEFAULT"):
        monkeypatch.delenv(name, raising=False)
    assert of_others(file) == {"AWS_ACCESS_KEY_ID": "one", "AIRFLOW_CONN_SPARK_DEFAULT": '{"conn_type":"spark"}'}


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("POMONA_EMR_CORE_TYPES", "m5.xlarge,m6g.xlarge", "has Graviton processors"),
        ("POMONA_EMR_PRIMARY_TYPE", "a1.xlarge", "has Graviton processors"),
        ("POMONA_EMR_PRIMARY_TYPE", "r6gd.xlarge", "has Graviton processors"),
        ("POMONA_EMR_CORE_TYPES", "large", "must be instance types like m5.xlarge"),
        ("POMONA_EMR_RELEASE", "emr-7.9.0", "must be emr-7.10.0 or a later 7"),
        ("POMONA_EMR_CLUSTER", "mine", "must be a cluster's id"),
        ("POMONA_EMR_SPOT_SHARE", "101", "must be a whole number from 0 to 100"),
        ("POMONA_EMR_MAX_NODES", "1", "must be a whole number from 2"),
        ("POMONA_EMR_TAGS", "team", "must be like team=vision,stage=test"),
        ("POMONA_EMR_LOGS", "s3://key:secret@bucket/logs", "holds a password"),
    ],
)
def test_a_wrong_setting_of_emr_names_itself(variable: str, value: str, line: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Deployment.from_environment({variable: value})
    assert str(refused.value).startswith(variable) and line in str(refused.value)


def test_instances_with_a_g_in_front_are_no_graviton() -> None:
    assert Deployment.from_environment({"POMONA_EMR_CORE_TYPES": "g4dn.xlarge,i4i.xlarge"}).emr.core_types == ("g4dn.xlarge", "i4i.xlarge")


@pytest.mark.parametrize(
    ("missing", "line"),
    [("POMONA_LAKE", "needs s3://"), ("POMONA_LANDING", "needs s3://"), ("POMONA_TRACKING", "needs http://")],
)
def test_what_lies_on_this_machine_is_out_of_emrs_reach(missing: str, line: str) -> None:
    places = {"POMONA_LANDING": "s3://b/in", "POMONA_LAKE": "s3://b/lake", "POMONA_TRACKING": "http://mlflow:5000", "POMONA_ENGINE": "emr"}
    assert Deployment.from_environment(places).emr.packages == "s3://b/lake/_packages"
    with pytest.raises(BadSetting, match=line):
        Deployment.from_environment({name: value for name, value in places.items() if name != missing})
