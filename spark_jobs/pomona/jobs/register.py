"""register: makes the model an MLflow version, moves the alias if the verdict says so, writes report and summary.

In: everything that the run has fitted and found. Out: one version per run however often the task is repeated, the
report, `summary.json`, and the record that this run has reached its verdict.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pomona import approval, promotions, reigns, tracking
from pomona.bundle import N_PROBES
from pomona.cost import Cost, continued, cost
from pomona.fitted import fitted
from pomona.lake import now
from pomona.outcome import BadInput, Result
from pomona.report.assembly import assembled
from pomona.report.page import render
from pomona.stages import STAGES
from pomona.standing import Standing
from pomona.summary import Facts, figures, summary
from pomona.work import LOG, Work

if TYPE_CHECKING:
    import pyarrow as pa

_ASKED_AGAIN = "; the next run asks again"


def run(work: Work) -> Result:
    """Registers the model, moves the alias or not, and writes what people read."""
    tracking.warm(work.order.place.tracking)
    facts, roster = gathered(work), work.table("roster")
    chain = fitted(work)
    registered = tracking.register(
        work.order.place.tracking,
        work.order.place.name,
        work.run,
        chain=chain,
        probes=list(work.pictures(probes(roster)).values()),
        trained_on=trained_on(roster),
        profile=work.arrays("profile"),
        params=facts.knobs,
        metrics=_metrics(facts),
        tags=_tags(facts),
    )
    _stop_if_other(work, registered, facts)
    move = _moved(work, facts, registered.version)
    stands = standing(work, registered.version, move)
    LOG.info("register: %s %s", facts.verdict["words"], stands.words)
    tracking.tag(work.order.place.tracking, work.order.place.name, registered, {"pomona.outcome": stands.words})
    facts = facts.registered(version=registered.version, standing=stands, effort=work.effort({}), cost=cost_so_far(work))
    document = summary(facts)
    folder = work.lake.run_folder(work.run)
    page = render(assembled(facts, chain, roster=roster, predictions=work.table("predictions"), read=work.pictures))
    work.lake.put(f"{folder}/report.html", page.encode())
    work.lake.put_document(f"{folder}/summary.json", document)
    tracking.attach(
        work.order.place.tracking,
        registered.mlflow_run,
        {"report.html": page, "summary.json": work.lake.get(f"{folder}/summary.json").decode()},
    )
    work.clear("registration")
    registration = {"version": registered.version, "alias_moved": move.moved, "line": move.line, "mlflow_run": registered.mlflow_run}
    files = {"registration": [work.lake.write_document(work.folder("registration"), "registration", registration)]}
    _reached_verdict(work, facts.verdict, registered.version, move)
    line = move.line if move.moved else f"version {registered.version} of {work.order.place.name}: kept: {move.line}"
    return Result(line, files, {"version": registered.version}, status="done" if move.moved else "refused")


def gathered(work: Work) -> Facts:
    """What the run's manifests and outcomes say about it."""
    manifests = {stage: work.lake.manifest(work.run, stage) for stage in STAGES if stage != "register"}
    outcomes = {stage: work.lake.outcome(work.run, stage) or {} for stage in manifests}
    return Facts(
        place=work.order.place,
        manifests=manifests,
        outcomes=outcomes,
        metrics=work.document("metrics"),
        verdict=work.document("verdict"),
    )


def cost_so_far(work: Work) -> Cost | None:
    """What the run cost until now, this stage estimated; None where the engine leaves no word of what was used."""
    folder = f"{work.lake.run_folder(work.run)}/usage"
    told = {stage: work.lake.document(f"{folder}/{stage}.json") for stage in STAGES if stage != "register"}
    made = work.lake.document(f"{folder}/cluster.json") or {}
    # A cluster that the run did not make is not the run's to pay for while no stage works on it.
    own = {cluster["cluster"] for cluster in (made, *made.get("earlier", ())) if cluster}
    usages = {
        stage: usage if usage.get("cluster") in own else {**usage, "cluster_created": None}
        for stage, usage in told.items()
        if usage is not None
    }
    ours = continued(usages, seconds=work.seconds, ended=now())
    return cost({**usages, "register": ours} if ours else usages)


def probes(roster: pa.Table) -> pa.Table:
    """The rows of the probe images: drawn by a hash of their content, test images first."""
    import pyarrow as pa

    rows = roster.select(["content", "part", "split"]).to_pandas()
    rows["draw"] = [hashlib.sha256(content.encode()).hexdigest() for content in rows["content"]]
    # "test" sorts before "train".
    return pa.Table.from_pandas(rows.sort_values(["split", "draw"]).head(N_PROBES)[["content", "part"]], preserve_index=False)


def trained_on(roster: pa.Table) -> pa.Table:
    """Content and group of each training image, which the version takes along."""
    import pyarrow.compute as pc

    return roster.filter(pc.equal(roster["split"], "train")).select(["content", "group"])


def _metrics(facts: Facts) -> dict[str, float | None]:
    official, safe, validation = (facts.metrics[name] for name in ("official", "group_safe", "validation"))
    named = {
        f"{prefix}{score}": scores[score]
        for prefix, scores in (("", official), ("group_safe_", safe), ("cross_validated_", validation))
        for score in ("accuracy", "macro_f1")
    }
    for score in ("accuracy", "macro_f1"):
        named[f"{score}_low"], named[f"{score}_high"] = official[f"{score}_interval"]
    return {**named, **figures(facts.metrics, facts.verdict)}


def _tags(facts: Facts) -> dict[str, Any]:
    return {
        "pomona.verdict": facts.verdict["decision"],
        "pomona.reason": facts.verdict["reason"],
        "pomona.rule": facts.verdict["rule"],
        "pomona.words": facts.verdict["words"],
        "pomona.measured_against": facts.verdict["champion"] or "",
        "pomona.snapshot": facts.manifests["ingest"]["notes"]["snapshot"],
        "pomona.extractor": facts.manifests["describe"]["notes"]["extractor"],
        "pomona.started_by": facts.started_by.split(" ", 1)[0].rstrip(":"),
        "pomona.cause": facts.started_by,
        "pomona.knobs": json.dumps(facts.knobs, sort_keys=True),
        **{f"pomona.hash.{name}": value for name, value in facts.hashes.items()},
    }


def _stop_if_other(work: Work, registered: tracking.Registered, facts: Facts) -> None:
    """Refuses to pass an earlier version of this run for a model that came out differently since (a run keeps its one version)."""
    place = work.order.place
    known = tracking.version(place.tracking, place.name, registered.version).tags.get("pomona.hash.model")
    if not registered.made and known != facts.hashes["model"]:
        raise BadInput(
            f"run {work.run} has registered version {registered.version} of {place.name} already; "
            "its pictures or this release have changed since: trigger a new run"
        )


def _moved(work: Work, facts: Facts, version: int) -> promotions.Move:
    """The alias moved, when the verdict and, where one is asked for, the answer say so, and nothing has changed or is held meanwhile."""
    place, ledger, verdict = work.order.place, promotions.LakeLedger(work.lake), facts.verdict
    kept = promotions.Move(False, verdict["reason"]) if verdict["decision"] != "promote" else _not_approved(work)
    if kept:
        promotions.reconcile(place.tracking, place.name, ledger=ledger, run=work.run)
        return kept
    return promotions.move_champion(
        place.tracking,
        place.name,
        version,
        expected=verdict["champion"],
        run=work.run,
        reason=verdict["reason"],
        by=facts.started_by,
        ledger=ledger,
    )


def _not_approved(work: Work) -> promotions.Move | None:
    """Why the model is kept although the verdict is for it; None when nobody has to be asked, or somebody said yes."""
    answer = approval.answer_of(work.lake, work.run) if work.order.require_approval else None
    if not work.order.require_approval or (answer and answer.approved):
        return None
    if answer is None:
        return promotions.Move(False, f"not approved, for nobody has been asked about this verdict{_ASKED_AGAIN}", final=False)
    return promotions.Move(False, f"{answer.line}{'' if answer.given else _ASKED_AGAIN}", final=answer.given)


def standing(work: Work, version: int, move: promotions.Move) -> Standing:
    """Where the version stands after the move, which may not be the first of this run: its task may be repeated at any time."""
    place, changes = work.order.place, reigns.changes(promotions.LakeLedger(work.lake).read_all())
    promoted = [change.since for change in changes if (change.run, change.version) == (work.run, version)]
    return Standing(
        moved=move.moved,
        why="" if move.moved else move.line,
        promoted=promoted[-1] if promoted else "",
        champion=tracking.champion_version(place.tracking, place.name),
    )


def _reached_verdict(work: Work, verdict: Mapping[str, Any], version: int, move: promotions.Move) -> None:
    """Records that this run reached its verdict: what the next ingest compares with to say whether anything is new.

    Not while an answer is awaited: then the next run is to ask again. What was held is marked, for the release.
    """
    held = not move.final and not _not_approved(work)
    if not (move.final or held):
        return
    place = work.order.place
    state = work.lake.manifest(work.run, "ingest")["notes"]["state"]
    champion = tracking.champion_version(place.tracking, place.name)
    # One that came in between was not judged against, so the next run is new. Without test images no champion matters.
    if champion != version and verdict.get("accuracy") is not None:
        champion = verdict["champion"]
    entry = {"run": work.run, "at": now(), "state": {**state, "champion": champion}, "held": held}
    same = ("run", "state", "held")
    while True:
        last = work.lake.last_number("judged")
        latest = work.lake.entry("judged", last)
        if latest is not None and {key: latest.get(key, False) for key in same} == {key: entry[key] for key in same}:
            return
        if work.lake.append("judged", last + 1, entry):
            return
