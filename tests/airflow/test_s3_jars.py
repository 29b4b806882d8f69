"""The jars for S3: those of PySpark's own Hadoop, and never half of them or others than the list names."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path

import pytest

from pomona_airflow.spark import s3_jars
from pomona_airflow.spark.s3_jars import Jar, NoJars, fetch, listed, present


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Jar]:
    """A list of two jars, `a` and `b`, whose contents are their names."""
    jars = [Jar(hashlib.sha256(name.encode()).hexdigest(), "group", name, "1") for name in "ab"]
    list_file = tmp_path / "list.txt"
    list_file.write_text("# two\n" + "".join(f"{jar.sha256} group:{jar.artifact}:1\n" for jar in jars))
    monkeypatch.setattr(s3_jars.listed, "__defaults__", (list_file,))
    return jars


def brings(monkeypatch: pytest.MonkeyPatch, contents: dict[str, str]) -> list[str]:
    """Makes fetching write these contents; the names of what it was asked for are noted."""
    asked: list[str] = []

    def write(scratch: Path, wanted: list[Jar]) -> None:
        asked.extend(jar.artifact for jar in wanted)
        for jar in wanted:
            (scratch / jar.file).write_text(contents[jar.artifact])

    monkeypatch.setattr(s3_jars, "_fetch_into", write)
    return asked


def test_the_list_names_hadoop_aws_of_pyspark_s_own_hadoop() -> None:
    package = importlib.util.find_spec("pyspark")
    assert package is not None and package.origin is not None
    client = next((Path(package.origin).parent / "jars").glob("hadoop-client-api-*.jar"))
    hadoop = re.fullmatch(r"hadoop-client-api-(.+)\.jar", client.name)
    assert hadoop is not None
    assert [jar.version for jar in listed() if jar.artifact == "hadoop-aws"] == [hadoop[1]]


def test_the_modules_of_the_aws_sdk_are_of_one_version_and_have_hashes() -> None:
    assert {jar.version for jar in listed() if jar.group == "software.amazon.awssdk"} == {"2.35.4"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in listed())


def test_only_what_is_missing_is_fetched(two: list[Jar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = brings(monkeypatch, {"a": "a", "b": "b"})
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "a-1.jar").write_text("a")
    assert "1 of them fetched" in fetch(tmp_path / "jars")
    assert asked == ["b"]
    assert "0 of them fetched" in fetch(tmp_path / "jars")
    assert [file.read_text() for file in present(tmp_path / "jars")] == ["a", "b"]


def test_a_damaged_jar_is_fetched_again(two: list[Jar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = brings(monkeypatch, {"a": "a", "b": "b"})
    fetch(tmp_path / "jars")
    (tmp_path / "jars" / "b-1.jar").write_text("")
    fetch(tmp_path / "jars")
    assert asked == ["a", "b", "b"]
    assert (tmp_path / "jars" / "b-1.jar").read_text() == "b"


def test_a_jar_with_another_hash_is_named_and_nothing_is_kept(two: list[Jar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brings(monkeypatch, {"a": "a", "b": "something else"})
    with pytest.raises(NoJars, match=r"^b-1\.jar has not the SHA-256"):
        fetch(tmp_path / "jars")
    assert [path.name for path in (tmp_path / "jars").iterdir()] == [".lock"]


def test_an_interrupted_fetch_leaves_nothing_half_done(two: list[Jar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(scratch: Path, wanted: list[Jar]) -> None:
        (scratch / wanted[0].file).write_text("a")
        raise KeyboardInterrupt

    monkeypatch.setattr(s3_jars, "_fetch_into", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path / "jars")
    assert [path.name for path in (tmp_path / "jars").iterdir()] == [".lock"]


def test_what_a_killed_fetch_left_is_taken_away(two: list[Jar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brings(monkeypatch, {"a": "a", "b": "b"})
    (tmp_path / "jars" / ".fetching-1").mkdir(parents=True)
    fetch(tmp_path / "jars")
    assert sorted(path.name for path in (tmp_path / "jars").iterdir()) == [".lock", "a-1.jar", "b-1.jar"]


def test_missing_jars_are_counted_and_the_remedy_named(two: list[Jar], tmp_path: Path) -> None:
    with pytest.raises(NoJars, match=r"^2 of 2 jars for event logs on s3:// are missing in .*: run make s3-jars$"):
        present(tmp_path)


def test_no_way_out_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=9")
    with pytest.raises(NoJars, match=r"^the jars could not be fetched \(.+\): nothing was kept; this machine must reach Maven Central$"):
        fetch(tmp_path / "jars")
    assert [path.name for path in (tmp_path / "jars").iterdir()] == [".lock"]
