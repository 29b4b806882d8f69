"""`make health`: its line, its exit code, and the page in the lake."""

from __future__ import annotations

from pathlib import Path

import pytest

from pomona.lake import Lake
from run import health
from tests import drawn_history as drawn
from tests import old_lake


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployment's folder; nothing is in it."""
    for name, value in {"LAKE": tmp_path / "lake", "LANDING": tmp_path / "landing", "STATE": tmp_path, "NAME": "fruit"}.items():
        monkeypatch.setenv(f"POMONA_{name}", str(value))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = health.main()
    printed = capsys.readouterr()
    return code, (printed.err if code else printed.out).strip()


def test_an_empty_lake_gets_a_page_and_one_line_that_says_what_to_do(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = environment / "lake/fruit/health/health.html"
    assert said(capsys) == (
        0, f"fruit: There is no champion. No version is the champion yet. make run makes the first one. The page: {page}",
    )  # fmt: skip
    assert page.read_text().startswith("<!doctype html>")


def test_each_time_the_page_is_written_anew(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys)
    drawn.put_move(Lake(str(environment / "lake"), "fruit"), None, 3, day=0)
    code, line = said(capsys)
    assert code == 0
    assert "Version 3 is the champion since 2026-08-20 06:00:00 UTC, promoted." in line
    assert "Version 3 is the champion since" in (environment / "lake/fruit/health/health.html").read_text()


def test_the_lake_of_an_earlier_release_has_a_page_with_its_run(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old_lake.unpack(environment)
    monkeypatch.setenv("POMONA_NAME", "tests")
    code, line = said(capsys)
    assert (code, "Version 1 is the champion since 2026-" in line) == (0, True)
    html = (environment / "lake/tests/health/health.html").read_text()
    assert "<b>16</b><span>images of the last run" in html
    assert '<span class="path">older</span>' in html


def test_a_lake_of_another_format_is_told_in_a_line(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (environment / "lake/fruit").mkdir(parents=True)
    (environment / "lake/fruit/format.json").write_text('{"format": 99}')
    code, line = said(capsys)
    assert code == 2
    assert "has format 99, this release reads 1" in line


def test_a_wrong_setting_is_told_in_a_line(environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("POMONA_ENGINE", "abacus")
    code, line = said(capsys)
    assert (code, line.startswith("POMONA_ENGINE='abacus'")) == (2, True)
