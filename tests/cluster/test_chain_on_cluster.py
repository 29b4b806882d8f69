"""The whole chain on a real cluster of a master and two workers: what it fits is what one machine fits, to the last bit."""

from __future__ import annotations

import pytest

from tests.cluster.conftest import Chain

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1200)]


def test_two_workers_make_the_model_of_one_machine(cluster, reference, pictures, tmp_path):
    chain = Chain(tmp_path, cluster.environment)
    said = chain.run(str(pictures))
    assert "now champion" in said
    assert chain.hashes(chain.runs()[0]) == reference.hashes(reference.runs()[0])
    assert cluster.applications() == []
    # Of the seven stages all but those that never ask for Spark were applications of this master.
    assert {app["name"].split()[1] for app in cluster.state()["completedapps"]} >= {"ingest", "describe", "encode"}
