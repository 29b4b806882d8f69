"""The contract: knobs with bounds, presets that resolve, and everything that is derived from them."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

from pomona import command, stages
from pomona.datasets import DATASETS
from pomona.knobs import KNOBS, PRESETS, BadKnob, resolve
from tests.conftest import PROJECT

PLACE = command.Place("run", "name", "lake", "landing", "tracking")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_gone_share": 7}, "max_gone_share=7 is out of bounds (0 to 1)"),
        ({"n_words": "many"}, "n_words='many' is not a whole number (0 to 20,000)"),
        ({"n_words": 2.5}, "n_words=2.5 is not a whole number (0 to 20,000)"),
        ({"n_words": True}, "n_words=True is not a whole number (0 to 20,000)"),
        ({"root": "perhaps"}, "root='perhaps' is not true or false (true | false)"),
        ({"extractor": "surf"}, "extractor='surf' is none of dense | sift | orb"),
        ({"preset": "best"}, "preset='best' is none of classic | fast | default | max"),
        ({"group_pattern": "("}, "group_pattern='(' is not a regular expression"),
        ({"group_pattern": "r"}, "group_pattern='r' has no part named (?P<group>…)"),
        ({"regularisation": float("nan")}, "regularisation=nan is out of bounds (1e-06 to 1,000,000)"),
        ({"n_word": 3}, "unknown knob 'n_word'"),
    ],
)
def test_a_bad_knob_is_named_with_its_value_and_its_bounds(given, message):
    with pytest.raises(BadKnob) as error:
        resolve(given)
    assert str(error.value).startswith(message)


def test_the_command_line_says_the_same_as_the_form(capsys):
    words = ["--n-words=2.5" if word.startswith("--n-words=") else word for word in command.arguments("train", PLACE, resolve({}))]
    with pytest.raises(SystemExit) as stop:
        command.parse(words)
    assert stop.value.code == 2
    assert "n_words='2.5' is not a whole number (0 to 20,000)" in capsys.readouterr().err


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("stage", stages.STAGES)
def test_what_the_operator_writes_the_job_reads(stage, preset):
    knobs = resolve({"preset": preset, "labels": "a, b=c,--d", "seed": 7})
    order = command.parse(command.arguments(stage, PLACE, knobs))
    assert (order.stage.name, order.place) == (stage, PLACE)
    assert order.knobs == {name: knobs[name] for name in stages.STAGES[stage].knobs}
    if stage == "ingest":
        assert order.resolved == knobs


def test_a_knob_left_empty_takes_the_presets_value_and_a_given_one_wins():
    assert resolve({"preset": "classic"})["n_words"] == 0
    assert resolve({"preset": "classic", "n_words": 40})["n_words"] == 40
    assert resolve({"preset": "classic", "n_words": None})["n_words"] == 0
    assert resolve({})["preset"] == "default"


def test_every_knob_has_help_bounds_and_a_stage_that_obeys_it():
    obeyed = {name for stage in stages.STAGES.values() for name in stage.knobs}
    for knob in KNOBS.values():
        assert knob.help and knob.section and knob.bounds, knob.name
        for preset in PRESETS:
            assert knob.parse(knob.value_in(preset)) == knob.value_in(preset)
    assert obeyed == set(KNOBS) - {"preset"}


def test_every_dataset_read_is_written_by_an_earlier_stage():
    written: set[str] = set()
    for stage in stages.STAGES.values():
        assert set(stage.reads) <= written, stage.name
        assert not set(stage.writes) & written, stage.name
        written |= set(stage.writes)
    of_other_jobs = {dataset for name, job in stages.JOBS.items() if name not in stages.STAGES for dataset in job.writes}
    assert written | of_other_jobs == set(DATASETS) and not written & of_other_jobs


def test_the_edges_are_the_chain_without_what_a_longer_way_implies():
    chain = list(stages.STAGES)
    assert stages.edges() == list(itertools.pairwise(chain))


def test_run_keys_bear_what_hadoop_paths_do_not():
    assert command.run_key("manual__2026-11-20T12:00:00+00:00") == "manual__2026-11-20T12-00-00-00-00"
    assert command.run_key("::") == "run"


def test_the_contract_needs_the_standard_library_only():
    script = "import sys; import pomona.command; print([m for m in ('numpy', 'pyarrow', 'fsspec', 'cv2', 'pyspark') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_lake_opens_without_pyarrow():
    script = "import sys; import pomona.lake; print('pyarrow' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_the_readme_shows_the_tables_of_the_contract():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("<!-- contract -->\n")[2].partition("\n<!-- /contract -->")[0]
    assert shown == stages.tables(), "write the output of `python -m pomona.stages` between the marks"
