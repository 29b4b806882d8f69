"""The plain loops do the work of the stages that they are compared with: on one drawn orchard, run once."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bench import runs
from bench.altered import photographs
from bench.loops import Orders
from bench.peers import chosen
from bench.plain import answer, describe, encode, evaluate, ingest, learn_vocabulary, lloyd, opencv_way, spark_way, train
from bench.plain.intervals import intervals
from demo.orchard import KINDS, draw
from pomona.jobs.evaluate import predicted
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.vision.classify import Classifier
from tests.conftest import SMALL, Runs
from tests.test_imports import OURS

# A run of all stages, and each loop over the same pictures.
pytestmark = pytest.mark.heavy

# Folds, unlike SMALL: the loop has no other way.
_KNOBS = {**SMALL, "folds": 2, "fold_images": 60}


@dataclass
class Chain:
    """A run that is done, and the orders for the loops over it."""

    lake: Lake
    landing: Path
    orders: Orders
    folder: Path

    def count(self, stage: str, name: str) -> Any:
        return self.lake.manifest("once", stage)["counts"][name]

    @property
    def predictions(self) -> list[dict[str, Any]]:
        """What the stage evaluate would say of the test images."""
        features = self.lake.read_rows([file for file in self.lake.files("once", "features") if file.path.endswith(".parquet")])
        classifier = Classifier.from_arrays(self.lake.read_arrays(self.lake.files("once", "model")[0]))
        return list(predicted(features.filter(pc.equal(features["split"], "test")), classifier).to_pylist())


@pytest.fixture(scope="module")
def chain(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("plain")
    landing = folder / "landing"
    # Two groups of each kind in train, for the folds.
    draw(landing, frames=6, kinds=list(KINDS)[:3], rotations=3, bad=False)
    runs = Runs(folder, landing, knobs=_KNOBS)
    runs.through("once", last="train")
    return Chain(runs.lake, landing, Orders(runs.lake, "once", landing, resolve(_KNOBS), folder / "orders"), folder)


def test_ingest_packs_every_content_once(chain: Chain, tmp_path: Path) -> None:
    files = photographs(chain.landing)
    again = tmp_path / "again.jpg"
    again.write_bytes(files[0].read_bytes())
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(files[0].read_bytes()[:300])
    order = {**chain.orders.ingest([*files, again, broken]), "target": str(tmp_path / "parts")}
    assert ingest.ingest(order) == {"files": len(files) + 2, "images": chain.count("ingest", "kept")}
    assert pq.read_table(tmp_path / "parts").num_rows == len(files)


def test_describe_finds_the_stages_keypoints(chain: Chain) -> None:
    found = describe.describe(chain.orders.describe())
    assert found == {"images": chain.count("describe", "images"), "keypoints": chain.count("describe", "keypoints")}


def test_learn_vocabulary_draws_as_many_and_comes_as_near(chain: Chain) -> None:
    found = learn_vocabulary.learn_vocabulary(chain.orders.learn_vocabulary())
    assert found["words"] == chain.count("learn_vocabulary", "words") == 20
    assert found["sampled"] == pytest.approx(chain.count("learn_vocabulary", "sampled"), rel=0.15)
    ours = chain.count("learn_vocabulary", "inertia") / chain.count("learn_vocabulary", "sampled")
    assert found["inertia"] / found["sampled"] == pytest.approx(ours, rel=0.1)


def test_lloyd_on_every_descriptor_is_nearer_than_words_drawn_from_them(chain: Chain) -> None:
    order = chain.orders.lloyd()
    found = lloyd.lloyd(order)
    # Of so few descriptors a sample's words can be the better ones, by chance.
    assert 0.97 < found["judged"] / found["inertia"] < 1.2
    np.save(order["words"], np.load(order["words"])[:5])
    assert lloyd.lloyd(order)["judged"] > 1.2 * found["inertia"]
    chain.orders.words()


def test_encode_gives_the_stages_features(chain: Chain) -> None:
    """All training images are in both samples for the projection, so that its axes are the same but for their signs."""
    order = chain.orders.encode()
    found = encode.encode(order)
    assert found == {"images": chain.count("encode", "images"), "components": 12, "near": chain.count("encode", "near_copies")}
    theirs = pq.read_table(Path(order["target"]) / "features.parquet").to_pandas().set_index("content")["features"]
    ours = chain.lake.read_rows([file for file in chain.lake.files("once", "features") if file.path.endswith(".parquet")]).to_pandas()
    both = [(np.abs(row.features), np.abs(theirs[row.content])) for row in ours.itertuples()]
    np.testing.assert_allclose(*map(np.array, zip(*both, strict=True)), atol=1e-3)


def test_train_and_evaluate_score_as_the_stages_do(chain: Chain) -> None:
    found = train.train(chain.orders.train())
    assert (found["train"], found["folds"]) == (chain.count("train", "train"), 2)
    assert 0.6 < found["accuracy"] <= 1
    predictions = chain.predictions
    right = sum(row["prediction"] == row["label"] for row in predictions)
    judged = evaluate.evaluate(chain.orders.evaluate(chain.orders.pictures("path", "test")[:2]))
    assert judged["accuracy"] == right / len(predictions)
    assert (judged["test"], judged["spoiled"]) == (len(predictions), 20)


def test_answers_are_those_of_the_stage(chain: Chain) -> None:
    predictions = chain.predictions
    listing = chain.orders.listing("asked", [chain.landing / row["image"] for row in predictions])
    found = answer.answer({**chain.orders.answer(listing), "warm": 2})
    assert found["answers"] == [row["prediction"] for row in predictions[2:]]
    assert len(found["seconds_each"]) == len(predictions) - 2


@pytest.mark.parametrize("way", ["opencv", pytest.param("spark", marks=pytest.mark.heavy)])
def test_the_usual_ways_tell_the_fruits_apart(chain: Chain, tmp_path: Path, way: str) -> None:
    order = chosen(chain.orders, resolve(_KNOBS)) | {"lists": str(tmp_path / "lists"), "iterations": 2}
    found = opencv_way.opencv_way(order) if way == "opencv" else spark_way.spark_way(order)
    assert 0.6 < found["accuracy"] <= 1
    assert sum(found["parts"].values()) == pytest.approx(found["way_s"])


def test_the_loops_import_nothing_of_the_project() -> None:
    folder = Path(describe.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in getattr(node, "names", [])]
            if isinstance(node, ast.Import | ast.ImportFrom):
                for module in modules:
                    assert module.startswith("bench.plain") or module.split(".")[0] not in OURS, f"{path.name} imports {module}"


def test_intervals_hold_whole_groups() -> None:
    labels, groups = np.array(["a", "a", "b", "b"]), np.array(["1", "1", "2", "2"])
    found = intervals(labels, np.array(["a", "a", "a", "a"]), groups, 2000)
    assert found["accuracy"] == 0.5 and found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    # Both groups drawn from the wrong class in a quarter of the draws, from the right one in another.
    assert found["bounds"][0] == [0.0, 1.0]


def test_work_that_is_not_the_same_is_said() -> None:
    assert runs.differing({"images": (8, 8), "words": (500, 495)}, within=0.02) == ""
    assert runs.differing({"images": (8, 7)}) == "; NOT THE SAME WORK: images 8 against 7"


def test_a_line_of_json_with_the_time_is_printed(chain: Chain) -> None:
    from bench.loops import plain

    found = plain("describe", {**chain.orders.describe(), "target": str(chain.folder / "apart")})
    assert found.found["images"] == chain.count("describe", "images")
    assert 0 < found.cpu_s < 10 and json.dumps(found.found)
    with pytest.raises(RuntimeError, match=r"bench\.plain\.describe ended with 1: KeyError: 'target'"):
        plain("describe", {})
