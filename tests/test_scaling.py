"""Whether more machines would help: worked out by hand on stages as they are met."""

from __future__ import annotations

from typing import Any

import pytest

from pomona.scaling import covered_s, headline, scaling
from tests.report.documents import effort


def test_even_tasks_enough_for_twice_the_cores_scale():
    # 16 tasks of 2 s on 2 cores take 8 rounds, on 4 cores 4: 16 of 18 s become 8.
    found = scaling("describe", effort(seconds=18, cores=2, cpu_s=33.3, stages=[(1, 17, 16, 2.0, 2.0)]))
    assert found.alone_s == pytest.approx(2)
    assert found.twice == pytest.approx(18 / 10)
    assert found.busy == pytest.approx(1.85)
    assert found.words == "scales"


def test_the_prototypes_extraction_too_few_tasks_is_named():
    # Two tasks on 8 cores, 186 s each: twice the nodes left 187.22 of 186.44 s.
    found = scaling("describe", effort(seconds=186.44, cores=8, stages=[(0.2, 186.44, 2, 186.0, 186.2)]))
    assert found.twice == pytest.approx(1.0)
    assert found.words == "does not scale: it has 2 tasks for 8 cores"


def test_one_long_task_is_named():
    # Nine tasks of a second, one of ten: no number of cores makes it shorter.
    found = scaling("encode", effort(seconds=11, cores=2, stages=[(0.5, 10.5, 10, 1.0, 10.0)]))
    assert (found.skew, found.twice) == (10, 1)
    assert found.words == "does not scale: its longest task takes 10.0 s, 10.0 × the median"


def test_a_driver_that_works_alone_is_named():
    # 8 of 20 s in 8 even tasks: 4 s are saved.
    found = scaling("learn_vocabulary", effort(seconds=20, cores=2, stages=[(1, 9, 8, 2.0, 2.0)]))
    assert found.twice == pytest.approx(20 / 16)
    assert found.words == "scales in part: no task runs in 12.0 of its 20.0 s"


def test_a_stage_without_tasks_works_on_the_driver_alone():
    found = scaling("register", effort(seconds=4, cores=None))
    assert (found.tasks, found.skew, found.alone_s, found.twice) == (0, None, 4, 1)
    assert found.words == "does not scale: it works on the driver alone"


def test_spans_that_overlap_count_once():
    assert covered_s([(0, 4), (1, 2), (3, 6), (8, 9)]) == 7
    assert covered_s([]) == 0


def told(**stages: dict[str, Any]) -> str:
    return headline([scaling(name, effort) for name, effort in stages.items()])


def test_the_headline_names_what_does_not_scale_and_why_the_longest_of_it():
    scales = effort(seconds=18, cores=2, stages=[(1, 17, 16, 2.0, 2.0)])
    assert told(describe=scales, train=effort(seconds=10, cores=None), register=effort(seconds=2, cores=None)) == (
        "On twice the cores the 30 s of this run would be 22 s: 1.36 × as fast, of 2 × possible. "
        "Not scaling: train, register, 40 % of the time. Of train, the longest of them: it works on the driver alone."
    )
    assert told(describe=scales).endswith("1.80 × as fast, of 2 × possible. Every stage would gain.")
    assert told() == ""
