"""A run's facts and pictures put together as a `Report`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pomona.checks import counted
from pomona.lake import now
from pomona.report import evidence, pictures, seen
from pomona.report.contents import Effort, Listing, Mistake, Report, Score, Timing, samples_per_label
from pomona.report.formats import percent
from pomona.scaling import scaling
from pomona.summary import Facts
from pomona.vision import decode
from pomona.vision.chain import Chain

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_THUMBNAIL_PX = 100
_MISTAKES = 60

Pictures = Callable[["pa.Table"], Mapping[str, bytes]]


def assembled(facts: Facts, chain: Chain, *, roster: pa.Table, predictions: pa.Table, read: Pictures) -> Report:
    """The report of a registered run.

    Parameters
    ----------
    roster, predictions : the run's rows of these datasets
    read : gives the bytes of a few roster rows by content
    """
    import pyarrow as pa

    images = roster.to_pandas().sort_values(["part", "content"])
    samples = images.groupby("label").head(samples_per_label(images["label"].nunique()))
    wrong = mistaken(predictions).merge(images[["content", "part"]], on="content")
    contents = set(samples["content"]) | set(wrong["content"]) | evidence.contents(facts.metrics, facts.verdict)
    wanted = images.loc[images["content"].isin(contents), ["content", "part"]]
    data = read(pa.Table.from_pandas(wanted, preserve_index=False))
    paths = dict(zip(images["content"], images["path"], strict=True))
    thumbnails = {content: _thumbnail(image) for content, image in data.items()}

    def picture(content: str) -> evidence.Picture | None:
        return evidence.Picture(thumbnails[content], paths[content]) if content in thumbnails else None

    looked = seen.seen(samples, data, chain)
    n_test = len(predictions)
    return Report(
        name=facts.place.name,
        run=facts.place.run,
        started_by=facts.started_by,
        ended=now(),
        version=facts.version,
        decision=facts.verdict["decision"],
        reason=facts.verdict["reason"],
        champion=facts.verdict["champion"],
        standing=facts.standing,
        counts=facts.counts,
        images_per_label=facts.notes["images_per_label"],
        scores=score_rows(facts.metrics),
        official=facts.metrics["official"] if n_test else None,
        timings=timings(facts),
        knobs=facts.knobs,
        hashes=facts.hashes,
        warnings=warnings(facts),
        samples={str(label): [thumbnails[content] for content in rows["content"]] for label, rows in samples.groupby("label")},
        keypoints=looked.keypoints,
        words=looked.words,
        vocabulary=dict(facts.manifests["learn_vocabulary"]["counts"]),
        mistakes=[
            Mistake(thumbnails[row["content"]], row["image"], row["label"], row["prediction"], row["probability"])
            for row in wrong.to_dict("records")
        ],
        n_mistakes=int((predictions["label"].to_pandas() != predictions["prediction"].to_pandas()).sum()),
        notices=notices(facts),
        labelled_by=facts.labels.get("by", {}),
        agreements=[agreed(pair) for pair in facts.labels.get("agreements", [])],
        links={"features": "features.csv", "predictions": "predictions.csv", "summary": "summary.json"},
        efforts=efforts(facts),
        cost=facts.cost,
        evidence=evidence.evidence(facts.metrics, facts.verdict, picture=picture),
    )


def timings(facts: Facts) -> list[Timing]:
    """Each stage's seconds, records and cost, as far as they are known."""
    usd = facts.cost.stages if facts.cost else {}
    return [
        Timing(stage, seconds, facts.records(stage) if stage in facts.manifests else None, usd.get(stage))
        for stage, seconds in facts.seconds.items()
    ]


def efforts(facts: Facts) -> list[Effort]:
    """What each stage's outcome tells of its cost, in the order of the stages."""
    return [
        Effort(scaling(stage, told), told["records"], told["read_bytes"], told["written_bytes"], told["start_s"])
        for stage, told in facts.efforts.items()
    ]


def mistaken(predictions: pa.Table) -> pd.DataFrame:
    """The test images that the model takes for something else with most confidence, at most 60."""
    rows: pd.DataFrame = predictions.select(["content", "image", "label", "prediction", "probability"]).to_pandas()
    wrong = rows[rows["label"] != rows["prediction"]].sort_values(["probability", "content"], ascending=[False, True])
    return wrong.head(_MISTAKES)


def score_rows(metrics: Mapping[str, Any]) -> list[Score]:
    """The official, the group-safe and the cross-validated score, in this order."""
    official, safe, validation = metrics["official"], metrics["group_safe"], metrics["validation"]
    unknown = (None, None)
    return [
        _score("official: all test images", official, ""),
        _score("group-safe: test images of groups that are not in train", safe, safe["why"]),
        Score(
            "cross-validated: by groups, on training images",
            validation["accuracy"],
            tuple(validation["interval"]),
            validation["macro_f1"],
            unknown,
            validation["n_images"],
            validation["n_groups"],
            validation["why"],
        ),
    ]


def _score(title: str, scores: Mapping[str, Any], note: str) -> Score:
    accuracy, macro_f1 = (tuple(scores[f"{name}_interval"]) for name in ("accuracy", "macro_f1"))
    return Score(title, scores["accuracy"], accuracy, scores["macro_f1"], macro_f1, scores["n_images"], scores["n_groups"], note)


def warnings(facts: Facts) -> list[str]:
    """Lines for the top of the page."""
    per_label, official = facts.notes["images_per_label"], facts.metrics["official"]
    found = []
    if untaught := [label for label, sides in per_label.items() if not sides["train"]]:
        found.append(f"no training images, so every test image of them is wrong: {_some(untaught)}")
    if untested := official["without_test"]:
        found.append(f"no test images, so nothing is known of how well they are recognised: {_some(untested)}")
    if shared := facts.notes["shared_groups"]:
        stand = f"{counted(len(shared), 'group')} {'stands' if len(shared) == 1 else 'stand'} on both sides of the split"
        found.append(f"{stand}, so the official score is too good: {_some(shared)}")
    if bare := facts.manifests["describe"]["counts"]["without_keypoints"]:
        found.append(f"{counted(bare, 'image')} without a keypoint: only colours speak there")
    return found


def notices(facts: Facts) -> dict[str, Listing]:
    """Lists of what was left out, and of what makes a score too good."""
    notes, counts = facts.notes, facts.counts
    # By near copies too, where somebody looked for them.
    linked = (facts.metrics.get("leakage") or {}).get("linked_groups", notes["linked_groups"])
    bare = facts.manifests["describe"]["notes"]["without_keypoints"]
    lists = {
        "Labels that could not be read, or of images that are not there": Listing(
            [(where, reason) for where, reason in facts.labels.get("spoiled", [])], facts.labels.get("n_spoiled", 0)
        ),
        "Images on which two annotators disagree": _disagreements(facts.labels.get("agreements", [])),
        "Groups taken for another label by their greater part: is the name of their folder right?": _misnamed(
            facts.manifests["train"]["notes"].get("suspect_groups", [])
        ),
        "Rejected files": Listing([(path, reason) for path, reason in notes["rejects"]], counts["rejected"]),
        "In conflict: the same picture under several labels": Listing(
            [(pairs[0][1], "the same as " + ", ".join(path for _, path in pairs[1:])) for pairs in notes["conflicts"]],
            notes["n_conflicts"],
        ),
        "Leaked: test pictures whose training copies were removed": Listing(
            [(test, "copies: " + ", ".join(train)) for test, train in notes["leaked"]], notes["n_leaked"]
        ),
        "Groups on both sides of the split": Listing([(group, "") for group in notes["shared_groups"]], len(notes["shared_groups"])),
        "Test groups that share pictures with a training group": Listing([(test, f"with {train}") for test, train in linked], len(linked)),
        "Ignored files": Listing([(path, "") for path in notes["ignored"]], counts["ignored"]),
        "Gone from the landing zone": Listing([(path, "") for path in notes["gone"]], counts["gone"]),
        "Without a keypoint": Listing([(content, "") for content in bare], facts.manifests["describe"]["counts"]["without_keypoints"]),
    }
    return {heading: listing for heading, listing in lists.items() if listing.total}


def agreed(pair: Mapping[str, Any]) -> str:
    """How far two annotators agree, in words."""
    one, other = pair["annotators"]
    kappa = "no kappa, for chance agrees always" if pair["kappa"] is None else f"Cohen's kappa {pair['kappa']:.2f}"
    return f"{one} and {other} agree on {percent(pair['agreed'])} of {counted(pair['n_images'], 'image')} ({kappa})"


def _misnamed(groups: Sequence[Mapping[str, Any]]) -> Listing:
    rows = [
        (row["group"], f"labelled {row['label']}; {row['n_predicted']:,} of {row['n_images']:,} are taken for {row['prediction']}")
        for row in groups
    ]
    return Listing(rows, len(rows))


def _disagreements(agreements: Sequence[Mapping[str, Any]]) -> Listing:
    rows = []
    for pair in agreements:
        one, other = pair["annotators"]
        rows += [(content, f"{one}: {label}, {other}: {another}") for content, label, another in pair["disagreements"]]
    return Listing(rows, sum(pair["n_disagreements"] for pair in agreements))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8:,} more" if len(names) > 8 else shown


def _thumbnail(data: bytes) -> bytes:
    return pictures.thumbnail(decode.decode(data, side_px=_THUMBNAIL_PX), _THUMBNAIL_PX)
