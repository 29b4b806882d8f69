"""What a run cost, in its summary and its report, from the usage that the engine left in the lake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pomona.report.formats import dollars


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
