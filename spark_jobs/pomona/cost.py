"""What a run cost on AWS, estimated from the usage that its stages left in the lake; what is not known is said.

A usage document tells, for EMR on EC2, which instances the cluster had and from when to when the stage's job ran on them; for EMR
Serverless the hours of processors, memory and storage that AWS billed. Volumes, S3 and traffic are in none of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pomona import prices

Usage = Mapping[str, Any]
_BILLED = {"vcpu_hours": prices.VCPU_HOUR, "memory_gb_hours": prices.MEMORY_GB_HOUR, "storage_gb_hours": prices.STORAGE_GB_HOUR}


@dataclass(frozen=True)
class Cost:
    """An estimate in US dollars.

    Attributes
    ----------
    stages : stage → dollars; None where the price is not known
    starting, between : dollars of a run's own cluster before its first stage and between stages; None where there is no such cluster
    notes : what the sum leaves out or cannot know, in words
    """

    stages: Mapping[str, float | None]
    starting: float | None
    between: float | None
    notes: Sequence[str]

    @property
    def usd(self) -> float:
        """The sum of what is known."""
        return _sum((*self.stages.values(), self.starting, self.between))

    @property
    def complete(self) -> bool:
        """Whether every stage has a price."""
        return None not in self.stages.values()

    @property
    def document(self) -> dict[str, Any]:
        """As `summary.json` has it."""
        return {
            "usd": round(self.usd, 4),
            "complete": self.complete,
            "prices": f"{prices.REGION}, on demand, {prices.AS_OF}",
            "stages": {stage: None if usd is None else round(usd, 4) for stage, usd in self.stages.items()},
            "starting": None if self.starting is None else round(self.starting, 4),
            "between": None if self.between is None else round(self.between, 4),
            "notes": list(self.notes),
        }


def cost(usages: Mapping[str, Usage]) -> Cost | None:
    """The cost of the run whose stages used this; None when no stage says what it used, as on this machine."""
    if not usages:
        return None
    ordered = sorted(usages.items(), key=lambda item: _time(item[1]["started"]))
    stages = {stage: stage_usd(usage) for stage, usage in ordered}
    on_cluster = [usage for _, usage in ordered if usage["engine"] == "emr"]
    own = [usage for usage in on_cluster if usage.get("cluster_created")]
    return Cost(
        stages=stages,
        starting=_sum(_starting(usages) for usages in _by_cluster(own)) if own else None,
        between=_sum(gap for usages in _by_cluster(own) for gap in _gaps(usages)) if own else None,
        notes=_notes(ordered, given=len(own) < len(on_cluster)),
    )


def stage_usd(usage: Usage) -> float | None:
    """What the stage's job cost; None when a price or an amount is not known."""
    if usage["engine"] == "emr":
        rate = hourly(usage["instances"])
        return None if rate is None else rate * float(usage["seconds"]) / 3600
    return sum(float(usage[name]) * price for name, price in _BILLED.items()) if _told(usage) else None


def hourly(instances: Sequence[Mapping[str, Any]]) -> float | None:
    """Dollars an hour of these instances, spot ones at the price on demand; None when one has no price here."""
    if not instances or any(one["type"] not in prices.INSTANCES for one in instances):
        return None
    return sum(int(one["count"]) * prices.INSTANCES[one["type"]].usd for one in instances)


def continued(usages: Mapping[str, Usage], *, seconds: float, ended: str) -> Usage | None:
    """What a stage uses that is still at work: the latest stage's cluster, or its rate on Serverless, for so many seconds."""
    if not usages:
        return None
    last = max(usages.values(), key=lambda usage: _time(usage["ended"]))
    started = (_time(ended) - timedelta(seconds=seconds)).isoformat()
    told = {**last, "job": None, "started": started, "ended": ended, "seconds": seconds, "estimated": True}
    if last["engine"] == "emr":
        return told
    known = [usage for usage in usages.values() if _told(usage)]
    worked_s = sum(usage["seconds"] for usage in known)
    if not worked_s:
        return {**told, **dict.fromkeys(_BILLED)}
    return {**told, **{name: sum(usage[name] for usage in known) / worked_s * seconds for name in _BILLED}}


def _told(usage: Usage) -> bool:
    """Whether AWS told what the job run used: there is none that used no processor, but AWS tells it some time after the end."""
    return all(usage.get(name) is not None for name in _BILLED) and usage["vcpu_hours"] > 0


def _by_cluster(usages: Sequence[Usage]) -> list[list[Usage]]:
    """The stages of each cluster: a stage that is cleared days later has another one."""
    ids = dict.fromkeys(usage["cluster"] for usage in usages)
    return [[usage for usage in usages if usage["cluster"] == cluster] for cluster in ids]


def _sum(parts: Iterable[float | None]) -> float:
    return sum(part for part in parts if part is not None)


def _starting(usages: Sequence[Usage]) -> float | None:
    """The cluster from its creation to the first stage, at the first stage's instances."""
    first = usages[0]
    return _priced(first, (_time(first["started"]) - _time(first["cluster_created"])).total_seconds())


def _gaps(usages: Sequence[Usage]) -> list[float | None]:
    """The cluster while no stage ran: each gap at the instances that the stage before it had."""
    return [
        _priced(before, (_time(after["started"]) - _time(before["ended"])).total_seconds()) for before, after in itertools.pairwise(usages)
    ]


def _priced(usage: Usage, seconds: float) -> float | None:
    rate = hourly(usage["instances"])
    return None if rate is None else rate * max(0.0, seconds) / 3600


def _notes(ordered: Sequence[tuple[str, Usage]], *, given: bool) -> list[str]:
    instances = [one for _, usage in ordered for one in usage.get("instances") or ()]
    unknown = sorted({one["type"] for one in instances if one["type"] not in prices.INSTANCES})
    untold = [stage for stage, usage in ordered if stage_usd(usage) is None and not (usage.get("instances") and unknown)]
    notes = [f"Prices of {prices.REGION} on demand as of {prices.AS_OF}; volumes, S3 and traffic are not in them."]
    if unknown:
        notes.append(f"No price is known for {', '.join(unknown)}: what ran on it is left out of the sum.")
    if untold:
        notes.append(f"AWS did not tell what {', '.join(untold)} used: it is left out of the sum.")
    if any(one["market"] == "SPOT" for one in instances):
        notes.append("Spot instances are counted at the price on demand: an upper bound.")
    if given:
        notes.append("The cluster was there before the run: only the stages' own time is counted, as if they had it to themselves.")
    if estimated := [stage for stage, usage in ordered if usage.get("estimated")]:
        notes.append(f"{' and '.join(estimated)} is estimated at the rate of the stages before; what comes after it is not in the sum.")
    return notes


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
