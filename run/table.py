"""The short table at the end of `make run`, read off `summary.json` and the stages' outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def table(summary: Mapping[str, Any], outcomes: Mapping[str, Mapping[str, Any]], place: str, total_s: float) -> str:
    """The lines; `total_s` are the seconds from the first task's start to the end, Airflow's and Spark's own included."""
    counts, scores, model, verdict = (summary[name] for name in ("counts", "scores", "model", "verdict"))
    images = ", ".join(
        f"{counts[name]:,} {word}" for name, word in (("in", "in"), ("kept", "kept"), ("rejected", "rejected"), ("ignored", "ignored"))
    )
    others = ", ".join(f"{counts[name]:,} {name}" for name in ("duplicate", "conflict", "unselected", "gone") if counts.get(name))
    rows = [
        ("images", images + (f" ({others})" if others else "")),
        ("", f"{counts['train']:,} train, {counts['test']:,} test, {counts['labels']:,} labels, {counts['groups']:,} groups"),
        *_scored("accuracy", scores),
        *_scored("macro_f1", scores),
        ("seconds", ", ".join(f"{stage} {outcome['seconds']:.1f}" for stage, outcome in outcomes.items())),
        ("", f"{total_s:.1f} in all, Spark's and Airflow's own start included"),
        *_cost(summary.get("cost")),
        ("model", f"{model['name']} version {model['version']}{', now champion' if model['champion'] else ''}"),
        ("verdict", f"{verdict['decision']}: {verdict['reason']}"),
        *_kept(verdict, model, outcomes),
        ("report", f"{place}/{summary['files']['report']}"),
        ("next", f"POMONA_NAME={model['name']} make serve"),
    ]
    return "\n".join(["", *(f"  {name:<9} {text}" for name, text in rows)])


def _kept(verdict: Mapping[str, Any], model: Mapping[str, Any], outcomes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Why the champion stayed although the verdict was for the model: a hold, an answer, another champion meanwhile."""
    return [("", outcomes["register"]["line"])] if verdict["decision"] == "promote" and not model["champion"] else []


def _cost(cost: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What the run cost on AWS, where it ran there."""
    if cost is None:
        return []
    more = "" if cost["complete"] else ", and what is not known"
    return [("cost", f"about {cost['usd']:.2f} dollars{more} (prices of {cost['prices']}); the report says what is not in it")]


def _scored(score: str, scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The official score with its interval, and beneath it the group-safe one where it differs in its images."""
    rows = [(score.replace("_", "-").replace("macro-f1", "macro-F1"), with_interval(scores["official"], score))]
    safe = scores["group_safe"]
    if safe.get("n_images") and safe["n_images"] != scores["official"]["n_images"]:
        rows.append(("", f"{with_interval(safe, score)} group-safe"))
    return rows


def with_interval(scores: Mapping[str, Any], score: str) -> str:
    """The score, its interval, and the images and groups that it was counted on."""
    low, high = scores[f"{score}_interval"]
    counted = f"{scores['n_images']:,} images of {scores['n_groups']:,} groups"
    if low is None or high is None:
        return f"{scores[score]:.3f} (no interval: too few groups), {counted}"
    return f"{scores[score]:.3f} (95 %: {low:.3f} to {high:.3f}), {counted}"
