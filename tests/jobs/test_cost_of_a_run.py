"""What a run cost, in its summary and its report, from the usage that the engine left in the lake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pomona.jobs import register
from pomona.report.formats import dollars
from tests.conftest import Runs


def test_a_cluster_that_the_run_did_not_make_costs_nothing_while_no_stage_works_on_it(tmp_path):
    runs = Runs(tmp_path, tmp_path)
    used = {"engine": "emr", "job": "j", "cluster": "j-1", "cluster_created": "2026-11-18T10:00:00+00:00", "seconds": 600.0}
    times = {"started": "2026-11-20T10:00:00+00:00", "ended": "2026-11-20T10:10:00+00:00"}
    instances = [{"type": "m5.xlarge", "market": "ON_DEMAND", "count": 3}]
    runs.lake.put_document("runs/r/usage/ingest.json", {**used, **times, "instances": instances})
    given = register.cost_so_far(runs.work("r", "register"))
    assert (given.starting, given.between) == (None, None)
    assert round(given.stages["ingest"], 2) == 0.12
    runs.lake.put_document("runs/r/usage/cluster.json", {"cluster": "j-2", "created": "", "earlier": [{"cluster": "j-1"}]})
    # Its own cluster stood for two days before the first stage: 48 × 0.72 dollars.
    assert round(register.cost_so_far(runs.work("r", "register")).starting, 2) == 34.56


@pytest.mark.heavy
def test_a_run_with_usage_shows_its_cost_and_one_without_shows_none(runs):
    runs.through("r")
    assert runs.lake.document("runs/r/summary.json")["cost"] is None
    assert "cost" not in runs.lake.get("runs/r/report.html").decode()
    used = {"engine": "emr-serverless", "job": "j", "application": "00a", "seconds": 1.8}
    billed = {"vcpu_hours": 4.0, "memory_gb_hours": 16.0, "storage_gb_hours": 0.0}
    for n, stage in enumerate(("ingest", "evaluate")):
        at = datetime(2026, 11, 20, 10 + n, tzinfo=UTC)
        times = {"started": at.isoformat(), "ended": (at + timedelta(seconds=1.8)).isoformat()}
        runs.lake.put_document(f"runs/r/usage/{stage}.json", {**used, **billed, **times})
    runs.stage("r", "register")
    cost = runs.lake.document("runs/r/summary.json")["cost"]
    # 4 × 0.052624 + 16 × 0.0057785
    assert (cost["stages"]["ingest"], cost["stages"]["evaluate"]) == (0.303, 0.303)
    # At the same rate, 0.303 dollars in 1.8 s, for the part of a second that it takes at least.
    assert 0 < cost["stages"]["register"] < 0.303 / 1.8 * 300
    assert cost["usd"] > 0.6059
    assert f"about {dollars(cost['usd'], 0.1)} on AWS" in runs.lake.get("runs/r/report.html").decode()
