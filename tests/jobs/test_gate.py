"""The gate in whole runs: what evaluate asks of a first model and of a second, and a champion that is moved by hand before register."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from pomona import tracking
from pomona.baselines import by_colour, commonest
from pomona.vision.classify import Classifier, probabilities


@pytest.mark.heavy
def test_a_new_class_is_judged_and_a_champion_moved_by_hand_meanwhile_stays(runs, caplog):
    caplog.set_level(logging.INFO, logger="pomona")
    assert runs.through("first", labels="Apple,Orange", robustness_images=0)["register"].status == "done"
    first = runs.work("first", "register").document("verdict")
    assert (first["decision"], first["rule"], first["champion"], first["baselines"]["majority"]) == ("promote", "first model", None, 0.5)
    check_colours(runs, first["baselines"]["histogram"])

    runs.through("second", "evaluate", margin=1.0, max_class_drop=1.0, robustness_images=0)
    verdict = runs.work("second", "register").document("verdict")
    figures = verdict["figures"]
    assert (verdict["decision"], verdict["champion"]) == ("promote", 1)
    # Ten test images of each of the classes that both know; ten pears beside them.
    assert (figures["n_images"], figures["n_other_labels"], figures["new_classes"]) == (20, 10, ["Pear"])
    assert [row["label"] for row in verdict["per_class"]] == ["Apple", "Orange", "Pear"]
    assert [row["champion_recall"] is None for row in verdict["per_class"]] == [False, False, True]
    assert [record.getMessage() for record in caplog.records].count(f"evaluate: {verdict['words']}") == 1
    assert "The new model also knows Pear" in verdict["words"]

    client = tracking.connect(runs.tracking)
    same = client.get_model_version("tests", "1")
    client.create_model_version("tests", source=same.source, run_id=same.run_id, await_creation_for=0)
    client.set_registered_model_alias("tests", "champion", "2")
    registered = runs.stage("second", "register", margin=1.0, max_class_drop=1.0, robustness_images=0)
    assert registered.status == "refused"
    assert "kept: the verdict was measured against version 1, but the champion is version 2 now" in registered.line
    assert tracking.champion_version(runs.tracking, "tests") == 2
    tags = client.get_model_version("tests", "3").tags
    told = {name: tags[f"pomona.{name}"] for name in ("verdict", "rule", "reason", "words")}
    assert told == {"verdict": "promote", "rule": verdict["rule"], "reason": verdict["reason"], "words": verdict["words"]}
    # What became of the verdict is told wherever the verdict is.
    outcome = "It did not become the champion: the verdict was measured against version 1, but the champion is version 2 now."
    tracked = client.get_run(client.get_model_version("tests", "3").run_id).data.tags
    assert tags["pomona.outcome"] == tracked["pomona.outcome"] == outcome
    assert f"register: {verdict['words']} {outcome}" in [record.getMessage() for record in caplog.records]
    page = runs.lake.get("runs/second/report.html").decode()
    assert "Fit for promotion, but not promoted: version 2 is the champion" in page
    assert page.count(outcome) == 2
    summary = json.loads(runs.lake.get("runs/second/summary.json"))
    assert summary["model"] == {"name": "tests", "version": 3, "champion": False, "outcome": outcome}
    assert client.get_model_version("tests", "1").tags["pomona.outcome"].startswith("It became the champion at 20")


def check_colours(runs, accuracy: float) -> None:
    """The histogram baseline's accuracy in the verdict is that of its own layers on the square roots of the stored histograms."""
    work = runs.work("first", "evaluate")
    baseline = Classifier.from_arrays(work.arrays("baseline"))
    described = work.table("descriptors", ["content", "copy", "histogram"]).to_pandas()
    rows = work.table("roster").to_pandas().merge(described[described["copy"] == 0], on="content")
    test = rows[rows["split"] == "test"]
    answers = [
        baseline.classes[probabilities(baseline, np.sqrt(np.frombuffer(data, np.float32).astype(np.float64))).argmax()]
        for data in test["histogram"]
    ]
    assert by_colour(work, list(test["content"])) == dict(zip(test["content"], answers, strict=True))
    assert accuracy == pytest.approx((test["label"].to_numpy() == np.array(answers)).mean())


def test_of_equally_common_labels_the_first_is_the_commonest():
    assert commonest({"pear": 3, "apple": 3, "fig": 2}) == "apple"
    assert commonest({"apple": 1, "fig": 2}) == "fig"
    assert commonest({}) == ""
