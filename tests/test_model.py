import base64
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel

from pomona import bundle
from pomona.vision.chain import Chain
from tests.drawn_model import chain, knowing_chain, pictures, strange_picture, trained_on

IMAGES = [data for _, data in pictures(4, first_seed=100)]
# Hides the editable install: what is left of `pomona` is what the model folder brings.
ALONE = """
import importlib.util, json, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
assert importlib.util.find_spec("pomona") is None
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
assert sys.modules["pomona.vision.chain"].__file__.startswith(sys.argv[1])
images = [bytes.fromhex(line.strip()) for line in sys.stdin]
rows = model.predict(pandas.DataFrame({"image": images}))["probabilities"].map(lambda row: list(row.values()))
print(json.dumps([sorted(name for name in sys.modules if name.split(".")[0] in ("pyspark", "airflow", "faiss", "sklearn")), list(rows)]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "model"
    bundle.write(folder, chain=chain(), probes=IMAGES, trained_on=trained_on(), facts={"run": "r1"})
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> PyFuncModel:
    return mlflow.pyfunc.load_model(str(folder))


def frame(images: list) -> pd.DataFrame:
    return pd.DataFrame({"image": pd.Series(images, dtype=object)})


def numbers(answers: pd.DataFrame) -> np.ndarray:
    return np.array([list(row.values()) for row in answers["probabilities"]])


def test_the_model_gives_the_probabilities_of_the_chain_alone_in_a_batch_and_in_any_order(model):
    expected = np.array([chain().answer(data) for data in IMAGES])
    order = np.random.default_rng(3).permutation(len(IMAGES))
    assert np.array_equal(numbers(model.predict(frame(IMAGES))), expected)
    assert np.array_equal(numbers(model.predict(frame([IMAGES[i] for i in order]))), expected[order])
    assert all(np.array_equal(numbers(model.predict(frame([data]))), expected[i : i + 1]) for i, data in enumerate(IMAGES))


def test_label_and_probability_are_those_of_the_likeliest_class(model):
    answers = model.predict(frame([data for _, data in pictures(2)]))
    assert list(answers["label"]) == ["lemon", "lemon", "lime", "lime", "plum", "plum"]
    assert list(answers["probability"]) == [max(row.values()) for row in answers["probabilities"]]
    assert all(list(row) == ["lemon", "lime", "plum"] and abs(sum(row.values()) - 1) < 1e-9 for row in answers["probabilities"])


def test_base64_text_is_an_image_too(model):
    text = base64.b64encode(IMAGES[0]).decode()
    wrapped = "\n".join(text[i : i + 76] for i in range(0, len(text), 76))
    answers = numbers(model.predict(frame([text, wrapped])))
    assert np.array_equal(answers[0], answers[1]) and np.array_equal(answers[0], chain().answer(IMAGES[0]))


def test_a_bad_image_refuses_the_batch_and_is_named_by_its_row(model):
    with pytest.raises(MlflowException, match=r"image 1 of 3: no JPEG") as refusal:
        model.predict(frame([IMAGES[0], b"hello", IMAGES[1]]))
    assert refusal.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException, match="image 0 of 1: text that is not base64"):
        model.predict(frame(["no base64!"]))
    with pytest.raises(MlflowException, match="image 0 of 1: NoneType instead of bytes"):
        model.predict(frame([None]))


def test_bad_images_are_reported_row_by_row_when_asked_for(model):
    answers = model.predict(frame([IMAGES[0], b"hello", IMAGES[1]]), params={"on_bad_image": "report"})
    assert [error and error[:7] for error in answers["error"]] == [None, "no JPEG", None]
    assert answers["label"][1] is None and answers["probability"][1] is None and answers["probabilities"][1] == {}
    good = np.array([list(answers["probabilities"][i].values()) for i in (0, 2)])
    assert np.array_equal(good, [chain().answer(IMAGES[0]), chain().answer(IMAGES[1])])
    with pytest.raises(MlflowException, match="on_bad_image='ignore' is none of raise, report"):
        model.predict(frame(IMAGES[:1]), params={"on_bad_image": "ignore"})


def test_whether_a_picture_is_unknown_is_told_to_who_asks_for_it(tmp_path, model):
    bundle.write(tmp_path / "knowing", chain=knowing_chain(), probes=IMAGES, trained_on=trained_on())
    asked = {"images": frame([IMAGES[0], strange_picture()]), "params": {"tell_unknown": True}}
    told = mlflow.pyfunc.load_model(str(tmp_path / "knowing")).predict(asked["images"], params=asked["params"])
    assert list(told) == ["label", "probability", "probabilities", "unknown", "novelty"]
    assert list(told["unknown"]) == [False, True] and told["novelty"][0] <= 1 < told["novelty"][1]
    # A chain without a rule cannot tell.
    untold = model.predict(asked["images"], params=asked["params"] | {"on_bad_image": "report"})
    assert list(untold["unknown"]) == list(untold["novelty"]) == [None, None] and list(untold)[-1] == "error"


def test_no_images_give_no_answers(model):
    answers = model.predict(frame([]))
    assert len(answers) == 0 and list(answers) == ["label", "probability", "probabilities"]


def test_the_version_answers_where_pomona_is_not_installed(folder):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", ALONE, str(folder)],
        input="\n".join(data.hex() for data in IMAGES[:3]),
        env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trainers, answers = json.loads(done.stdout)
    assert [name for name in trainers if name.split(".")[0] in ("airflow", "faiss", "sklearn")] == []
    assert np.abs(np.array(answers) - [chain().answer(data) for data in IMAGES[:3]]).max() <= 1e-6


def test_the_folder_holds_the_code_that_answers_and_nothing_of_spark_or_the_lake(folder):
    code = {str(file.relative_to(folder / "code")) for file in (folder / "code").rglob("*.py")}
    assert {"pomona/__init__.py", "pomona/model.py", "pomona/vision/chain.py", "pomona/vision/decode.py"} <= code
    assert all(name.startswith("pomona/vision/") or name in ("pomona/__init__.py", "pomona/model.py") for name in code)
    assert (folder / "requirements.txt").read_text().splitlines() == bundle.requirements()
    assert all("==" in line for line in bundle.requirements()) and not any("spark" in line for line in bundle.requirements())


def test_no_file_names_a_folder_of_this_machine(tmp_path, folder):
    places = [str(folder.parent), str(Path.cwd()), str(Path.home()), sys.prefix, "/tmp/"]
    found = [
        (file.name, place)
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
        for place in places
        if place.encode() in file.read_bytes()
    ]
    assert found == []


def test_the_example_is_a_picture_that_the_model_answers(folder, model):
    example = json.loads((folder / "serving_input_example.json").read_text())["dataframe_split"]
    assert example["columns"] == ["image"]
    assert model.predict(frame([example["data"][0][0]]))["label"][0] in ("lemon", "lime", "plum")


def test_weights_with_a_pickled_object_are_refused(tmp_path):
    chain().save(tmp_path)
    np.savez(tmp_path / "encoder.npz", mean=np.array([{"a": 1}], dtype=object), components=np.zeros((1, 1)))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Chain.load(tmp_path)
    (tmp_path / "vocabulary.npz").write_bytes(pickle.dumps({"words": 1}))
    with pytest.raises((ValueError, pickle.UnpicklingError), match="allow_pickle=False"):
        Chain.load(tmp_path)
