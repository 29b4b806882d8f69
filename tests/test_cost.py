"""What a run costs: sums worked out by hand, and what is not known is said."""

from __future__ import annotations

from typing import Any

import pytest

from pomona import prices
from pomona.cost import continued, cost, stage_usd


def emr(started: str, ended: str, seconds: float, **changes: Any) -> dict[str, Any]:
    """A stage on a cluster of 1 + 2 m5.xlarge, created at ten: 3 × (0.192 + 0.048) = 0.72 dollars an hour."""
    return {
        "engine": "emr",
        "job": "pomona-orchard-ingest-run-1",
        "cluster": "j-1",
        "cluster_created": "2026-11-20T10:00:00+00:00",
        "started": f"2026-11-20T{started}+00:00",
        "ended": f"2026-11-20T{ended}+00:00",
        "seconds": seconds,
        "instances": [{"type": "m5.xlarge", "market": "ON_DEMAND", "count": 3}],
        **changes,
    }


def serverless(started: str, seconds: float, **changes: Any) -> dict[str, Any]:
    """A stage that was billed for an hour of 4 processors and 16 GB, and for ten of storage."""
    return {
        "engine": "emr-serverless",
        "job": "j",
        "application": "00a",
        "started": f"2026-11-20T{started}+00:00",
        "ended": f"2026-11-20T{started}+00:00",
        "seconds": seconds,
        "vcpu_hours": 4.0,
        "memory_gb_hours": 16.0,
        "storage_gb_hours": 10.0,
        **changes,
    }


def test_the_prototypes_runs_twice_the_nodes_were_a_seventh_faster_for_45_percent_more() -> None:
    def run(nodes: int, seconds: float) -> float:
        return (
            stage_usd(emr("10:00:00", "10:10:00", seconds, instances=[{"type": "m5.xlarge", "market": "ON_DEMAND", "count": nodes}])) or 0
        )

    small, large = run(1 + 2, 576.19), run(1 + 4, 501.00)
    assert small == pytest.approx(3 * 0.24 * 576.19 / 3600)
    assert round(small, 4) == 0.1152
    assert round(large, 4) == 0.1670
    assert round(large / small, 2) == 1.45
    assert round(576.19 / 501.00, 2) == 1.15


def test_emrs_fee_is_a_quarter_of_ec2s_price_and_a_size_up_costs_twice() -> None:
    for kind, hour in prices.INSTANCES.items():
        assert hour.fee / hour.ec2 == pytest.approx(0.25, abs=0.005), kind
        family, size = kind.split(".")
        half = {"2xlarge": "xlarge", "4xlarge": "2xlarge"}.get(size)
        if half:
            assert hour.ec2 == pytest.approx(2 * prices.INSTANCES[f"{family}.{half}"].ec2), kind


def test_a_cluster_costs_from_its_creation_to_the_last_stage() -> None:
    found = cost({"ingest": emr("10:05:00", "10:15:00", 600), "describe": emr("10:16:40", "10:20:00", 200)})
    assert found is not None
    assert found.starting == pytest.approx(0.72 * 300 / 3600)
    assert found.between == pytest.approx(0.72 * 100 / 3600)
    assert found.stages == {"ingest": pytest.approx(0.12), "describe": pytest.approx(0.04)}
    assert found.usd == pytest.approx(0.72 * 20 / 60)
    assert found.complete


def test_stages_are_in_the_order_of_their_start_whatever_their_names() -> None:
    found = cost({"train": emr("10:16:40", "10:20:00", 200), "ingest": emr("10:05:00", "10:15:00", 600)})
    assert found is not None
    assert list(found.stages) == ["ingest", "train"]
    assert found.between == pytest.approx(0.72 * 100 / 3600)


def test_a_gap_is_priced_at_the_instances_of_the_stage_before_it() -> None:
    five = [{"type": "m5.xlarge", "market": "ON_DEMAND", "count": 5}]
    found = cost({"ingest": emr("10:00:00", "10:10:00", 600, instances=five), "describe": emr("10:11:00", "10:12:00", 60)})
    assert found is not None
    assert found.between == pytest.approx(5 * 0.24 * 60 / 3600)


def test_a_stage_cleared_days_later_on_another_cluster_leaves_no_gap_between() -> None:
    later = {"cluster": "j-2", "cluster_created": "2026-11-23T09:00:00+00:00", "started": "2026-11-23T09:05:00+00:00"}
    train = {**emr("10:05:00", "10:15:00", 600), **later, "ended": "2026-11-23T09:15:00+00:00"}
    found = cost({"ingest": emr("10:05:00", "10:15:00", 600), "train": train})
    assert found is not None
    assert found.starting == pytest.approx(2 * 0.72 * 300 / 3600)
    assert found.between == 0


def test_serverless_is_priced_by_processors_memory_and_storage() -> None:
    found = cost({"ingest": serverless("10:00:00", 900)})
    assert found is not None
    assert found.usd == pytest.approx(4 * 0.052624 + 16 * 0.0057785 + 10 * 0.000111)
    assert round(found.usd, 6) == 0.304062
    assert (found.starting, found.between) == (None, None)


def test_an_instance_without_a_price_is_named_and_left_out_not_guessed() -> None:
    strange = [{"type": "x9.large", "market": "ON_DEMAND", "count": 2}, {"type": "m5.xlarge", "market": "ON_DEMAND", "count": 1}]
    found = cost({"ingest": emr("10:05:00", "10:15:00", 600), "train": emr("10:15:00", "10:25:00", 600, instances=strange)})
    assert found is not None
    assert found.stages == {"ingest": pytest.approx(0.12), "train": None}
    assert not found.complete
    assert found.usd == pytest.approx(0.12 + 0.06)
    assert [note for note in found.notes if "x9.large" in note] == [
        "No price is known for x9.large: what ran on it is left out of the sum."
    ]


@pytest.mark.parametrize("told", [None, 0.0])
def test_an_untold_amount_is_said_and_left_out(told: float | None) -> None:
    found = cost({"ingest": serverless("10:00:00", 900, vcpu_hours=told), "train": serverless("10:20:00", 900)})
    assert found is not None
    assert found.stages["ingest"] is None
    assert "AWS did not tell what ingest used: it is left out of the sum." in found.notes


def test_spot_instances_are_an_upper_bound_and_the_notes_say_so() -> None:
    spot = [{"type": "m5.xlarge", "market": "ON_DEMAND", "count": 1}, {"type": "m5.xlarge", "market": "SPOT", "count": 2}]
    found = cost({"ingest": emr("10:05:00", "10:15:00", 600, instances=spot)})
    assert found is not None
    assert found.stages["ingest"] == pytest.approx(0.12)
    assert "Spot instances are counted at the price on demand: an upper bound." in found.notes
    plain = cost({"ingest": emr("10:05:00", "10:15:00", 600)})
    assert plain is not None
    assert not [note for note in plain.notes if "Spot" in note]


def test_of_a_given_cluster_only_the_stages_count() -> None:
    found = cost({"ingest": emr("10:05:00", "10:15:00", 600, cluster_created=None)})
    assert found is not None
    assert (found.starting, found.between) == (None, None)
    assert found.usd == pytest.approx(0.12)
    assert [note for note in found.notes if note.startswith("The cluster was there before the run")]


def test_a_run_on_this_machine_has_no_cost() -> None:
    assert cost({}) is None
    assert continued({}, seconds=10, ended="2026-11-20T10:00:00+00:00") is None


def test_a_stage_at_work_goes_on_with_the_cluster_of_the_stage_before() -> None:
    usages: dict[str, Any] = {"evaluate": emr("10:05:00", "10:15:00", 600)}
    usages["register"] = continued(usages, seconds=120, ended="2026-11-20T10:18:00+00:00")
    found = cost(usages)
    assert found is not None
    assert found.stages["register"] == pytest.approx(0.72 * 120 / 3600)
    assert found.between == pytest.approx(0.72 * 60 / 3600)
    assert found.notes[-1].startswith("register is estimated at the rate of the stages before")


def test_a_stage_at_work_goes_on_at_the_mean_rate_of_serverless() -> None:
    usages: dict[str, Any] = {"ingest": serverless("10:00:00", 900), "train": serverless("10:20:00", 300, vcpu_hours=2.0)}
    told = continued(usages, seconds=60, ended="2026-11-20T10:40:00+00:00")
    assert told is not None
    assert told["vcpu_hours"] == pytest.approx((4 + 2) / 1200 * 60)
    assert told["memory_gb_hours"] == pytest.approx(32 / 1200 * 60)


def test_the_document_rounds_and_names_the_prices() -> None:
    found = cost({"ingest": emr("10:05:00", "10:15:00", 601)})
    assert found is not None
    assert found.document["usd"] == 0.1802
    assert found.document["stages"] == {"ingest": 0.1202}
    assert found.document["prices"].startswith("us-east-1, on demand, 20")
