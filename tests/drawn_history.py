"""Made-up histories of a model: single documents as the jobs write them, and a lake with three months of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pandas as pd

from pomona import scored
from pomona.lake import Lake
from pomona.monitoring.episodes import Rule, Watch, watched
from pomona.monitoring.panel import STATISTICS
from pomona.scored import Scored

START = datetime(2026, 8, 20, 6, tzinfo=UTC)
_SYMPTOMS = {
    "words": "other visual words than in training: Jensen–Shannon divergence {0:.2f} bits, usual is under 0.09",
    "mix": "another mix of labels than in training: {1:.0%} of the answers are Plum, training 11%",
    "brightness": "darker than in training: mean brightness 0.{0:.0f}1, training 0.62 ± 0.02",
    "blur": "blurrier than in training: mean blur {0:.2f}, training 0.41 ± 0.06",
    "rejects": "{0:.0f} of 204 pictures cannot be read, declared are 1 %",
}


def at(day: float) -> str:
    """So many days after the start, as the lake writes times."""
    return (START + timedelta(days=day)).isoformat(timespec="seconds")


def window(score: float = 0.5, *, day: float = 0, phase: str = "calm", **changes: Any) -> dict[str, Any]:
    """A window of 200 pictures whose blur scores so much."""
    alarms = score >= 1
    given = {
        "n_images": 200,
        "n_rejects": 0,
        "score": score,
        "scores": {"words": 0.25, "blur": score},
        "kind": "inputs" if alarms else "none",
        "symptoms": [_SYMPTOMS["blur"].format(score)] if alarms else [],
        "phase": phase,
        "began": False,
        "from": at(day - 0.1),
        "to": at(day),
    }
    return given | changes


def record(number: int, windows: Sequence[Mapping[str, Any]] = (), *, day: float = 0, champion: int = 1, **changes: Any) -> dict[str, Any]:
    """A document `health/NNNNNN.json` of 250 new pictures."""
    given = {
        "number": number,
        "at": at(day),
        "run": f"score-{number}",
        "champion": champion,
        "n_new": 250,
        "n_watched": sum(each["n_images"] for each in windows),
        "n_unknown": 5,
        "n_rejects": 0,
        "labels": {"Apple": 150, "Plum": 100},
        "windows": list(windows),
        "watch": Watch()._asdict(),
        "n_waiting": 50,
        "waiting": None,
        "rate": 0.05,
        "why": "",
    }
    return given | changes


def summary(
    run: str, *, day: float, version: int, accuracy: float | None, decision: str = "promote", width: float = 0.06
) -> dict[str, Any]:
    """What of a run's summary the timeline reads."""
    interval = [None, None] if accuracy is None else [round(accuracy - width, 3), round(min(1.0, accuracy + width / 2), 3)]
    official = {
        "accuracy": accuracy,
        "accuracy_interval": interval,
        "n_images": 0 if accuracy is None else 640,
        "n_groups": 0 if accuracy is None else 16,
    }
    return {
        "run": run,
        "ended": at(day),
        "scores": {"official": official},
        "model": {"version": version},
        "verdict": {"decision": decision},
    }


def manifest(run: str, *, day: float, n_images: int, n_labels: int) -> dict[str, Any]:
    return {"run": run, "created": at(day), "counts": {"kept": n_images, "labels": n_labels}}


def put_run(
    lake: Lake, run: str, *, day: float, version: int, accuracy: float | None, images: tuple[int, int], decision: str = "promote"
) -> None:
    """A run of the chain that was judged: its manifest of ingest, its summary, its entry among the judged."""
    lake.put_document(f"runs/{run}/manifests/ingest.json", manifest(run, day=day - 0.02, n_images=images[0], n_labels=images[1]))
    lake.put_document(f"runs/{run}/summary.json", summary(run, day=day, version=version, accuracy=accuracy, decision=decision))
    lake.append("judged", lake.last_number("judged") + 1, {"run": run, "at": at(day), "state": {}, "held": False})


def put_move(lake: Lake, before: int | None, to: int, *, day: float, run: str = "retrain", by: str = "arrival", hold: bool = False) -> None:
    """Intent and outcome of a promotion or, with a hold, of a rollback."""
    number = lake.last_number("promotions") + 1
    ends = {"from": before, "to": to, "run": run}
    reason = "lemons are taken for limes" if hold else "better by 1.2 points"
    lake.append("promotions", number, {"number": number, "at": at(day), "kind": "intent", **ends, "by": by, "reason": reason, "hold": hold})
    outcome = {"number": number + 1, "at": at(day), "kind": "outcome", "intent": number, **ends, "result": "moved"}
    lake.append("promotions", number + 1, outcome)


def put_scored(lake: Lake, *, n_pictures: int, n_unknown: int, n_rejects: int) -> None:
    """The state of so many pictures without a label."""
    rows = pd.DataFrame(
        {
            "path": [f"{number:06d}.jpg" for number in range(n_pictures)],
            "size": 1,
            "version": "1",
            "content": None,
            "label": "Apple",
            "probability": 0.9,
            "margin": 0.8,
            "unknown": [number < n_unknown for number in range(n_pictures)],
            "novelty": 0.1,
            "reason": [None if number < n_pictures - n_rejects else "cut off" for number in range(n_pictures)],
            "final": True,
            "champion": 5,
            "at": at(0),
        }
    )
    empty = scored.latest(lake)
    assert scored.save(lake, Scored(empty.number, rows[empty.rows.columns]), run="score", champion=5)


def three_months(lake: Lake) -> datetime:
    """Writes five reigns with one rollback, two drifts of which the second goes on, and a week without a picture; gives its last moment."""
    random = Random(7)
    _runs_of_three_months(lake)
    reigns = ((0.0, 1), (17.0, 3), (41.0, 5), (45.4, 3), (52.0, 7))
    watch, last, number = Watch(), 0, 0
    for half in range(2, 184):
        day = half / 2
        champion = next(version for since, version in reversed(reigns) if since <= day)
        if 60 <= day < 67.5 or random.random() < 0.25:
            continue
        watch = watch if champion == last else Watch()
        number, last = number + 1, champion
        windows = []
        for place in range(random.choice((0, 1, 1, 2, 3))):
            given, watch = _window_of_three_months(day + place / 300, random, watch)
            windows.append(given)
        n_new = 200 * len(windows) + random.randrange(20, 120)
        drifting = any(each["score"] >= 1 for each in windows)
        facts = {
            "n_new": n_new,
            "n_unknown": round(n_new * (random.uniform(0.08, 0.2) if drifting else random.uniform(0.01, 0.06))),
            "n_rejects": random.choice((0, 0, 0, 0, 1, 3)),
            "watch": watch._asdict(),
        }
        lake.append("health", number, record(number, windows, day=day, champion=champion, **facts))
    put_scored(lake, n_pictures=2_400, n_unknown=176, n_rejects=12)
    return START + timedelta(days=92)


def _runs_of_three_months(lake: Lake) -> None:
    """Eight judged runs and the moves of the champion."""
    runs = (
        (0.0, 1, 0.861, 4_100, 8, "promote"),
        (9.0, 2, 0.868, 4_380, 8, "keep"),
        (17.0, 3, 0.894, 6_900, 9, "promote"),
        (29.0, 4, 0.881, 7_150, 9, "keep"),
        (41.0, 5, 0.912, 9_800, 10, "promote"),
        (49.0, 6, 0.905, 9_950, 10, "keep"),
        (52.0, 7, 0.926, 12_400, 10, "promote"),
        (76.0, 8, 0.921, 12_900, 11, "keep"),
    )
    for day, version, accuracy, n_images, n_labels, decision in runs:
        run = f"asset_triggered__{at(day)[:19].replace(':', '-')}"
        put_run(lake, run, day=day, version=version, accuracy=accuracy, images=(n_images, n_labels), decision=decision)
    for before, to, day in ((None, 1, 0.0), (1, 3, 17.0), (3, 5, 41.0)):
        put_move(lake, before, to, day=day, run=f"asset_triggered__{to}", by="arrival of 240 images")
    put_move(lake, 5, 3, day=45.4, run="rollback", by="person (ann)", hold=True)
    number = lake.last_number("promotions") + 1
    lake.append(
        "promotions", number, {"number": number, "at": at(51.5), "kind": "release", "run": "release", "by": "person (ann)", "hold": 8}
    )
    put_move(lake, 3, 7, day=52.0, run="asset_triggered__7", by="schedule")


def _window_of_three_months(day: float, random: Random, watch: Watch) -> tuple[dict[str, Any], Watch]:
    """A window of that day and the watch after it: usual, but for a dark spell in September and blur in November."""
    scores = {name: min(0.97, 0.42 * math.exp(random.gauss(0, 0.32))) for name in STATISTICS}
    scores["rejects"] = random.choice((0.0, 0.0, 0.0, 0.2))
    if 27 <= day < 34:
        scores |= {"brightness": random.uniform(1.1, 3.2), "words": random.uniform(0.7, 1.6), "confidence": random.uniform(0.8, 1.3)}
    elif day >= 84:
        rise = (day - 83) / 4
        scores |= {"blur": 1 + rise * random.uniform(0.7, 2.0), "quantisation": random.uniform(0.8, 1.9), "words": random.uniform(0.6, 1.3)}
    elif random.random() < 0.04:
        scores["mix"] = random.uniform(1.05, 1.5)
    score = max(scores.values())
    alarms = sorted((name for name in scores if scores[name] >= 1), key=lambda name: -scores[name])
    (after,) = watched([score], rule=Rule(), watch=watch)
    symptoms = [
        _SYMPTOMS.get(name, f"{name} varies more than in training: standard deviation {{0:.2f}}").format(scores[name], 0.3)
        for name in alarms
    ]
    kind = "none" if not alarms else "mix" if alarms == ["mix"] else "inputs"
    began = after.phase == "drift" and watch.phase != "drift"
    return window(score, day=day, phase=after.phase, scores=scores, kind=kind, symptoms=symptoms, began=began), after
