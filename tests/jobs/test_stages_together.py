"""The stages together: the same input gives the same model, test images teach nothing, work is never done twice."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from hashlib import sha256

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from demo.orchard import KINDS, draw
from pomona import tracking, work
from pomona.jobs import ingest, train
from pomona.jobs.train import gathered
from pomona.outcome import BadInput
from pomona.vision.augment import altered
from pomona.vision.chain import fit_chain
from pomona.vision.classify import Classifier, probabilities
from pomona.vision.decode import decode
from pomona.vision.fingerprint import fingerprint
from pomona.work import Work
from tests import strange_pictures
from tests.older_release import said_less

# Copies and turns, of which half reach the projection, and a seed that is not the first.
TAUGHT = {"preset": "default", "n_words": 3, "projection_images": 60, "seed": 3}


@pytest.mark.heavy
@pytest.mark.parametrize("knobs", [{}, TAUGHT], ids=["fast", "default"])
def test_one_partition_and_seven_give_equal_hashes(knobs, runs, tmp_path, monkeypatch):
    partitions, parts = {}, Work.parts
    planted = _copy_in_test(runs.landing)

    def counted(self, *asked):
        tasks = parts(self, *asked)
        partitions.setdefault(self.run, {})[self.order.stage.name] = tasks.rdd.getNumPartitions()
        return tasks

    monkeypatch.setattr(Work, "parts", counted)
    monkeypatch.setattr(ingest, "PART_BYTES", 1 << 14)
    hashes = []
    for run, cores in (("one", 1), ("seven", 7)):
        runs.folder = tmp_path / run
        monkeypatch.setattr(Work, "cores", cores)
        monkeypatch.setattr(work, "_SHARES_A_CORE", 1)
        monkeypatch.setattr(work, "_MIN_SHARE_BYTES", 1 if cores > 1 else 1 << 30)
        monkeypatch.setattr(work, "_MAX_SHARE_BYTES", 1 << 30)
        runs.through(run, "train", **knobs)
        hashes.append(runs.hashes(run))
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {"vocabulary", "encoder", "model"}
    assert max(partitions["one"].values()) <= 2 < 7 <= min(partitions["seven"].values())
    _compare_with_the_chain_in_memory(runs.work("seven", "train", **knobs))
    assert planted in runs.work("seven", "train").table("roster")["content"].to_pylist()
    assert planted not in runs.work("seven", "train").table("near_copies")["content"].to_pylist()


def _copy_in_test(landing):
    """The content of a new test image: the altered copy of a training image, whose fingerprint no training image comes near."""
    files = sorted(landing.glob("Training/*/*.jpg"))
    images = [decode(file.read_bytes(), side_px=128) for file in files]
    prints = np.array([fingerprint(image) for image in images])
    for file, image in zip(files, images, strict=True):
        copy = altered(image, sha256(file.read_bytes()).hexdigest(), 1)
        if np.bitwise_count((prints ^ fingerprint(copy)).view(np.uint64)).min() > 3:
            data = cv2.imencode(".png", copy)[1].tobytes()
            (landing / "Test" / file.parent.name / "r9_1_100.png").write_bytes(data)
            return sha256(data).hexdigest()
    raise AssertionError("every altered copy is near a training image")


def _compare_with_the_chain_in_memory(done):
    """What the stages fitted is what cross-validation fits of the same training images, and so holds nothing of the test images."""
    roster = done.table("roster").to_pandas()
    rows = train._rows(done, roster[roster["split"] == "train"].sort_values("content"))
    chain = fit_chain(rows, done.knobs)
    vocabulary, encoder = done.arrays("vocabulary"), done.arrays("encoder")
    assert all(array.tobytes() == vocabulary[name].tobytes() for name, array in chain.vocabulary.arrays().items())
    # Copies come in another order, which rounds otherwise.
    assert chain.mean == pytest.approx(encoder["mean"], abs=1e-9)
    assert chain.components == pytest.approx(encoder["components"], abs=1e-6)
    table, matrix = gathered(done.lake, done.lake.files(done.run, "features"), max_mb=100)
    classifier = Classifier.from_arrays(done.arrays("model"))
    ours, theirs = (np.array([probabilities(each, row) for row in matrix]) for each in (classifier, chain.classifier))
    assert np.abs(ours - theirs).max() < 1e-3
    n_lessons = 1 + done.knobs["copies"] + 2 * done.knobs["turns"]
    assert Counter(table["content"].to_pylist()) == dict.fromkeys(roster.loc[roster["split"] == "train", "content"], n_lessons)
    features = pa.concat_tables([done.lake.read_rows([file]) for file in done.lake.files(done.run, "features") if "parquet" in file.path])
    assert Counter(features["content"].to_pylist()) - Counter(table["content"].to_pylist()) == dict.fromkeys(
        roster.loc[roster["split"] == "test", "content"], 1
    )
    csv = pd.read_csv(io.BytesIO(done.lake.get(f"runs/{done.run}/features.csv")))
    assert sorted(csv["image"]) == sorted(roster["path"])


def test_a_lake_may_lie_in_a_folder_of_any_name(runs, tmp_path):
    runs.folder = tmp_path / "my pictures [1] {a} é=100% *"
    assert runs.through("r", "learn_vocabulary")["learn_vocabulary"].counts["words"] == 20


def test_another_seed_gives_another_vocabulary(runs):
    runs.through("a", "learn_vocabulary")
    runs.through("b", "learn_vocabulary", seed=1)
    assert runs.hashes("a") != runs.hashes("b")


def test_permuting_and_halving_the_test_set_changes_nothing_that_is_fitted(runs, landing):
    runs.through("whole", "train")
    for number, file in enumerate(sorted(landing.glob("Test/*/*.jpg"))):
        if number % 2:
            file.unlink()
        else:
            file.rename(file.with_name(f"r9_{number}_100.jpg"))
    halved = runs.through("half", "train", max_gone_share=1)
    assert halved["ingest"].counts["test"] == 15
    assert runs.hashes("half") == runs.hashes("whole")


def test_one_image_more_is_one_image_described(runs, landing):
    assert runs.through("a", "describe")["describe"].counts["described"] == 60
    (next(landing.glob("Training/*")) / "r0_99_100.jpg").write_bytes(strange_pictures.jpeg(5))
    more = runs.through("b", "describe")["describe"].counts
    assert (more["described"], more["images"]) == (1, 61)
    assert runs.through("c", "describe", contrast_threshold=0.03)["describe"].counts["described"] == 61


@pytest.mark.heavy
def test_a_run_that_died_after_ingest_is_made_good_by_the_next(runs, landing):
    runs.through("first")
    (next(landing.glob("Training/*")) / "r0_99_100.jpg").write_bytes(strange_pictures.jpeg(6))
    runs.through("dead", "encode")
    results = runs.through("next")
    assert results["ingest"].counts["new"] == 0
    assert results["train"].counts["train"] == 31


def test_nothing_new_says_why_and_a_moved_alias_is_something_new(runs):
    done = runs.through("first")
    assert done["register"].status == "done"
    idle = runs.stage("second", "ingest")
    assert idle.status == "nothing_new"
    assert idle.line == "nothing new: pictures, knobs, code and champion (version 1) are those of run first, which reached its verdict"
    assert runs.stage("third", "ingest", regularisation=1.0).status == "done"
    tracking.connect(runs.tracking).delete_registered_model_alias("tests", "champion")
    assert runs.stage("fourth", "ingest").status == "done"


def test_a_cleared_run_gives_the_same_hashes_one_version_and_the_same_verdict(runs):
    runs.through("r")
    hashes, verdict = runs.hashes("r"), runs.work("r", "register").document("verdict")
    for stage in ("describe", "learn_vocabulary", "encode", "train"):
        runs.stage("r", stage)
    said_less(runs.lake, "r", "evaluate")
    with pytest.raises(BadInput, match="clear its task evaluate with all later ones"):
        runs.stage("r", "register")
    for stage in ("evaluate", "register"):
        runs.stage("r", stage)
    assert runs.hashes("r") == hashes
    assert runs.work("r", "register").document("verdict") == verdict
    assert [version.version for version in tracking.connect(runs.tracking).search_model_versions("name='tests'")] == [1]


@pytest.mark.heavy
def test_a_cleared_run_over_other_pictures_does_not_pass_its_old_version_for_the_new_model(runs, landing):
    runs.through("r")
    for file in sorted(landing.glob("Training/*/*.jpg"))[::7]:
        file.unlink()
    with pytest.raises(BadInput, match=r"run r has registered version 1 of tests already; .*: trigger a new run"):
        runs.through("r")


def test_the_served_model_gives_the_batch_jobs_probabilities_in_any_company(runs, landing):
    import mlflow.pyfunc

    runs.through("r")
    rows = runs.work("r", "register").table("predictions").to_pandas()
    model = mlflow.pyfunc.load_model("models:/tests@champion")
    images = [(landing / path).read_bytes() for path in rows["image"]]
    expected = np.array(rows["probabilities"].tolist())
    together = model.predict(pd.DataFrame({"image": images}))
    backwards = model.predict(pd.DataFrame({"image": images[::-1]}))[::-1]
    alone = [model.predict(pd.DataFrame({"image": [image]})).iloc[0] for image in images[:5]]
    for answers in (together, backwards):
        assert np.abs(np.array([list(row.values()) for row in answers["probabilities"]]) - expected).max() < 1e-6
    for one, row in zip(alone, expected, strict=False):
        assert np.abs(np.array(list(one["probabilities"].values())) - row).max() < 1e-6
    assert together["label"].tolist() == rows["prediction"].tolist()


@pytest.mark.heavy
def test_a_champion_is_judged_by_its_own_words_on_images_that_it_did_not_train_on(runs, landing):
    runs.through("first")
    # Two test images of today were training images of the champion: they are no fair comparison.
    for number, file in enumerate(sorted(landing.glob("Training/*/*.jpg"))[:2]):
        file.rename(landing / "Test" / file.parent.name / f"r5_{number}_100.jpg")
    runs.through("second", extractor="orb", n_words=25)
    verdict = runs.work("second", "register").document("verdict")
    assert verdict["champion"] == 1
    assert verdict["figures"]["n_images"] == 30
    champion = runs.work("first", "register").table("predictions").to_pandas()
    right = (champion["label"] == champion["prediction"]).mean()
    assert verdict["figures"]["champion_accuracy"] == pytest.approx(right)


@pytest.mark.heavy
def test_a_champion_whose_files_are_gone_keeps_its_place(runs, tmp_path):
    runs.through("first")
    shutil.rmtree(tmp_path / "artifacts")
    results = runs.through("second", regularisation=1.0)
    assert results["register"].status == "refused"
    verdict = runs.work("second", "register").document("verdict")
    assert verdict["decision"] == "keep"
    assert "champion version 1 cannot be asked" in verdict["reason"]


def test_more_words_than_descriptors_name_the_knob_and_both_numbers(runs):
    with pytest.raises(BadInput, match=r"n_words=20000 but only \d+ descriptors were sampled"):
        runs.through("r", "learn_vocabulary", n_words=20000)


def test_without_test_images_the_model_is_kept_back(runs, landing):
    shutil.rmtree(landing / "Test")
    results = runs.through("r")
    assert results["register"].status == "refused"
    assert "there are no test images" in results["register"].line


def test_the_chain_is_cross_validated_by_groups_where_classes_have_several(runs, tmp_path):
    runs.landing = tmp_path / "videos"
    draw(runs.landing, frames=6, kinds=list(KINDS)[:2], rotations=4, bad=False)
    runs.through("r", "train", folds=3, copies=1)
    validation = runs.work("r", "train").document("validation")
    assert (validation["n_images"], validation["n_groups"], validation["n_folds"]) == (36, 6, 3)
    assert 0.5 < validation["accuracy"] <= 1
    # What was taken for another label is what is doubted, the least probable label first.
    doubted = runs.work("r", "train").table("suspects").to_pandas()
    assert len(doubted) == round((1 - validation["accuracy"]) * 36) == runs.lake.manifest("r", "train")["counts"]["suspects"]
    assert (doubted["label"] != doubted["prediction"]).all()
    assert doubted["label_probability"].is_monotonic_increasing


def test_one_group_a_class_is_not_cross_validated_and_the_run_says_why(runs):
    line = runs.through("r", "train", folds=3)["train"].line
    assert line.endswith("not cross-validated: fewer than two classes have a second group, which could be held out")


def test_a_class_with_one_image_is_trained_and_shown(runs, landing):
    lonely = landing / "Training" / "lonely"
    lonely.mkdir()
    (lonely / "r0_1_100.jpg").write_bytes(strange_pictures.jpeg(8))
    results = runs.through("r")
    assert results["train"].counts["classes"] == 4
    assert "lonely" in (runs.lake.get("runs/r/report.html")).decode()


@pytest.mark.parametrize("extractor", ["sift", "orb"])
def test_the_classic_preset_runs_on_ten_words_a_class(runs, extractor):
    results = runs.through("r", "train", preset="classic", extractor=extractor, n_words=None, n_components=None, turns=True)
    assert results["learn_vocabulary"].counts["words"] == 30
    assert results["encode"].counts["components"] == 21
    assert results["encode"].counts["features"] == 30


def test_a_matrix_over_its_bound_is_refused_before_it_is_gathered(runs):
    runs.through("r", "encode")
    with pytest.raises(BadInput, match="max_matrix_mb=1e-06"):
        gathered(runs.lake, runs.lake.files("r", "features"), max_mb=1e-6)
