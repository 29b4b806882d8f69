import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from pomona import bundle, champion
from pomona.champion import Answerer, ChampionFailed, answers, card, classes, reproduces_probes
from pomona.vision.chain import Chain
from tests.drawn_model import chain, pictures, trained_on

IMAGES = [data for _, data in pictures(4, first_seed=300)]
OBSERVED = {"words", "quantisation", "reconstruction", "n_keypoints", "brightness", "blur", "red", "blue"}
WRITE = """
import sys
from pathlib import Path
from tests.drawn_model import pictures, trained_on
from pomona import bundle
from pomona.vision.chain import Chain
bundle.write(Path(sys.argv[2]), chain=Chain.load(Path(sys.argv[1])), probes=[data for _, data in pictures(2)], trained_on=trained_on())
"""


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version made with today's code."""
    folder = tmp_path_factory.mktemp("today") / "model"
    bundle.write(folder, chain=chain(), probes=[data for _, data in pictures(40)], trained_on=trained_on())
    return folder


@pytest.fixture
def copy(today: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(today, tmp_path / "model"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version made with other code: its chain gives the probabilities backwards, and another list of classes."""
    root = tmp_path_factory.mktemp("other")
    package = Path(bundle.__file__).parent
    shutil.copytree(package, root / "code" / "pomona", ignore=shutil.ignore_patterns("__pycache__"))
    source = root / "code/pomona/vision/chain.py"
    text = source.read_text()
    assert " probabilities(self.classifier" in text
    source.write_text(text.replace(" probabilities(self.classifier", " 0.5 * probabilities(self.classifier"))
    chain().save(root / "weights")
    weights = dict(np.load(root / "weights/model.npz"))
    np.savez(root / "weights/model.npz", **{**weights, "classes": np.array(["x", "y", "z"])})
    subprocess.run(
        [sys.executable, "-P", "-c", WRITE, str(root / "weights"), str(root / "model")],
        env=os.environ | {"PYTHONPATH": f"{root / 'code'}:{Path(__file__).parents[1]}", "MLFLOW_DISABLE_TELEMETRY": "true"},
        check=True,
    )
    return root / "model"


def break_code(folder: Path, body: str) -> None:
    """The version's chain does `body` before it answers."""
    source = folder / "code/pomona/vision/chain.py"
    text = source.read_text()
    for head in ("    def answer(self, data: bytes) -> NDArray[np.float64]:\n", "    def told(self, data: bytes) -> Told:\n"):
        assert head in text
        text = text.replace(head, f"{head}        {body}\n")
    source.write_text(text)


def test_each_version_answers_with_its_own_code_from_one_process_that_imported_todays(today, other):
    expected = np.array([chain().answer(data) for data in IMAGES])
    assert classes(today) == ("lemon", "lime", "plum") and classes(other) == ("x", "y", "z")
    (ours,), (theirs,) = answers(today, [IMAGES]), answers(other, [IMAGES])
    assert np.abs(ours - expected).max() <= 1e-6
    assert np.abs(theirs - 0.5 * expected).max() <= 1e-6
    assert reproduces_probes(today) is None and reproduces_probes(other) is None


def test_batches_of_any_size_come_back_in_order_and_bad_images_as_rows_of_nan(today):
    expected = np.array([chain().answer(data) for data in IMAGES])
    found = list(answers(today, iter([IMAGES[:1], [], [b"hello", IMAGES[1], b""], IMAGES[2:]])))
    assert [batch.shape for batch in found] == [(1, 3), (0, 3), (3, 3), (len(IMAGES) - 2, 3)]
    assert np.isnan(found[2][[0, 2]]).all()
    assert np.abs(np.concatenate([found[0], found[2][1:2], found[3]]) - expected).max() <= 1e-6


def test_asked_to_observe_it_tells_what_each_picture_looked_like_beside_the_same_answer(today):
    with Answerer(today, observe=True) as answerer, Answerer(today) as plain:
        found, expected = (each.told([*IMAGES, b"hello"]) for each in (answerer, plain))
    assert found.select(expected.schema.names).to_pylist() == expected.to_pylist()
    assert set(found.schema.names) - set(expected.schema.names) == OBSERVED
    for row, data in zip(found.to_pylist(), IMAGES, strict=False):
        seen = chain().observed(data)
        assert np.array_equal(np.frombuffer(row["words"], np.float16), seen.words.astype(np.float16))
        told = [row[name] for name in ("quantisation", "reconstruction", "n_keypoints", "brightness", "blur", "red", "blue")]
        assert told == pytest.approx(
            [seen.quantisation, seen.reconstruction, seen.n_keypoints, seen.brightness, seen.blur, *seen.cast], 1e-6
        )
    assert {found.to_pylist()[-1][name] for name in OBSERVED} == {None}


def test_a_version_that_cannot_observe_gives_its_answers_without(copy):
    source = copy / "code/pomona/vision/chain.py"
    source.write_text(source.read_text().replace("def seen(", "def seen_no_more("))
    with Answerer(copy, observe=True) as answerer:
        (row,) = answerer.told(IMAGES[:1]).to_pylist()
    assert row["probabilities"] == pytest.approx(chain().answer(IMAGES[0]).tolist(), abs=1e-6)
    assert {row[name] for name in OBSERVED} == {None}


def test_the_profile_travels_with_the_version_and_one_that_cannot_be_read_is_a_reason(tmp_path, today):
    assert champion.profile(today) is None
    arrays = {"words": np.array([[0.5, 0.5]], np.float16), "labels": np.array(["plum"])}
    folder = tmp_path / "profiled"
    bundle.write(folder, chain=chain(), probes=IMAGES, trained_on=trained_on(), profile=arrays)
    assert card(folder)["profile"] == "artifacts/profile.npz"
    found = champion.profile(folder)
    assert {name: array.tolist() for name, array in found.items()} == {"words": [[0.5, 0.5]], "labels": ["plum"]}
    (folder / "artifacts/profile.npz").write_bytes(b"PK but no archive")
    with pytest.raises(ChampionFailed, match="its profile cannot be read"):
        champion.profile(folder)


def test_no_batches_need_no_answer_and_leave_no_process(today):
    before = psutil.Process().children()
    assert list(answers(today, [])) == []
    assert psutil.Process().children() == before


def test_an_iterator_left_half_way_leaves_no_process(today):
    before = psutil.Process().children()
    left = answers(today, iter([IMAGES[:1], IMAGES[:1]]))
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert psutil.Process().children() == before


def test_what_a_library_prints_does_not_reach_the_answers(copy):
    break_code(copy, "print('chatter', flush=True); import os; os.write(1, b'noise' * 100)")
    (found,) = answers(copy, [IMAGES[:2]])
    assert np.abs(found - [chain().answer(data) for data in IMAGES[:2]]).max() <= 1e-6


def test_an_error_in_its_code_is_a_reason_with_its_last_line(copy):
    break_code(copy, "raise RuntimeError('the axis is bent')")
    assert reproduces_probes(copy) == "its process ended with exit code 1: RuntimeError: the axis is bent"


def test_a_value_error_that_is_no_bad_image_is_a_fault_and_no_bad_image(copy):
    break_code(copy, "raise ValueError('shapes (3,) and (4,) not aligned')")
    assert reproduces_probes(copy) == "its process ended with exit code 1: ValueError: shapes (3,) and (4,) not aligned"


def test_a_process_that_was_killed_is_a_reason(copy):
    break_code(copy, "import os; os.kill(os.getpid(), 9)")
    assert reproduces_probes(copy) == "its process was killed by SIGKILL"


def test_a_process_that_hangs_is_killed_at_its_limit(copy):
    break_code(copy, "import time; time.sleep(600)")
    began = time.monotonic()
    with (
        Answerer(copy, start_limit_s=3, limit_s_per_image=0.5) as answerer,
        pytest.raises(ChampionFailed, match="did not answer within 4 s"),
    ):
        answerer.answers(IMAGES[:2])
    assert time.monotonic() - began < 20


def test_code_that_is_gone_is_not_replaced_by_todays(copy):
    shutil.rmtree(copy / "code")
    reason = reproduces_probes(copy)
    # Where today's package is installed it is found and refused; on a cluster, where it is in a zip alone, none is found.
    assert reason is not None and ("and not from" in reason or "No module named 'pomona'" in reason)


def test_probes_that_come_out_differently_are_counted(copy):
    weights = dict(np.load(copy / "artifacts/chain/model.npz"))
    np.savez(copy / "artifacts/chain/model.npz", **{**weights, "bias0": weights["bias0"] + np.array([1.0, 0, 0])})
    assert re.fullmatch(r"32 of 32 probes come out differently \(by up to 0\.0\d+\)", reproduces_probes(copy) or "")


def test_a_version_stores_at_most_32_probes_with_what_it_answered(today):
    probes = pq.read_table(today / "artifacts/probes.parquet").to_pylist()
    assert len(probes) == 32
    assert all(np.array_equal(probe["probabilities"], chain().answer(probe["image"])) for probe in probes[:3])


def test_a_version_says_what_it_trained_on(copy):
    assert champion.trained_on(copy) == frozenset(trained_on()["content"].to_pylist())
    (copy / "artifacts/trained_on.parquet").unlink()
    with pytest.raises(ChampionFailed, match="what it trained on cannot be read"):
        champion.trained_on(copy)


def test_a_folder_that_is_no_version_is_a_reason_in_words(tmp_path, copy):
    assert reproduces_probes(tmp_path / "nowhere") == "its MLmodel cannot be read (No such file or directory)"
    (copy / "MLmodel").write_text("flavors: {}")
    assert reproduces_probes(copy) == "its MLmodel has no part `pomona`: it was not made by Pomona"
    with pytest.raises(ChampionFailed, match="not made by Pomona"):
        card(copy)


def test_a_version_without_its_probes_is_not_trusted(copy):
    (copy / "artifacts/probes.parquet").unlink()
    assert reproduces_probes(copy).startswith("its probes cannot be read")


def test_weights_with_a_pickled_object_are_not_read(copy):
    np.savez(copy / "artifacts/chain/vocabulary.npz", words=np.array([{"a": 1}], dtype=object))
    assert "allow_pickle=False" in reproduces_probes(copy)


def test_the_folder_is_left_as_it_was(copy, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    before = {file: file.stat().st_mtime_ns for file in copy.rglob("*")}
    assert reproduces_probes(copy) is None
    assert {file: file.stat().st_mtime_ns for file in copy.rglob("*")} == before


def test_the_saved_chain_is_the_chain(today):
    assert Chain.load(today / "artifacts/chain").classifier.classes == chain().classifier.classes
