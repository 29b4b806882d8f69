"""From training to the word on new pictures, through the real jobs: `train` makes a profile, a version has it, `score` compares."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from demo.orchard import KINDS, draw, picture
from pomona import champion, command, lake, scored, tracking
from pomona.care.forgetting import forget
from pomona.monitoring import record
from pomona.monitoring.profile import Profile
from pomona.newness import answered
from pomona.outcome import File, Result
from pomona.vision.decode import decode
from pomona.vision.observe import light
from pomona.work import Work
from run_stage import done
from tests.conftest import SMALL, Runs
from tests.dying_storage import Died, DyingFolder
from tests.traces import traces
from tests.whole_lake import faults, misnamed

# A chain is fitted and asked a dozen times.
pytestmark = pytest.mark.heavy
N_KINDS, FRAMES, ROTATIONS = 3, 8, 6
DRIFT = command.Drift(window=24, groups=6)
# Specimens that nobody has drawn into the landing zone.
STRANGERS = range(ROTATIONS, ROTATIONS + 4)


def dark(image: Any) -> Any:
    return cv2.convertScaleAbs(image, alpha=0.5)


def blurred(image: Any) -> Any:
    return cv2.GaussianBlur(image, (0, 0), 2.5)


def copies(spoil: Callable[[Any], Any] | None = None) -> dict[str, bytes]:
    """48 pictures of twelve specimens that were never trained on, by name; as they are or spoiled."""
    found = {}
    for kind in list(KINDS)[:N_KINDS]:
        for rotation in STRANGERS:
            for frame in range(4):
                data = picture(kind, rotation, frame, seed=0, frames=4)
                if spoil is not None:
                    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
                    data = cv2.imencode(".jpg", spoil(image))[1].tobytes()
                found[f"{kind}-{rotation}-{frame}.jpg"] = data
    return found


@dataclass
class Place:
    """A trained champion beside a folder of unlabelled pictures."""

    runs: Runs
    n_runs: int = 0

    @property
    def unlabelled(self) -> Path:
        return self.runs.folder / "unlabelled"

    def put(self, files: dict[str, bytes], below: str = "") -> None:
        folder = self.unlabelled / below
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)

    def place(self, run: str) -> command.Place:
        lake, landing = str(self.runs.folder / "lake"), str(self.runs.landing)
        return command.Place(run, self.runs.name, lake, landing, self.runs.tracking, unlabelled=str(self.unlabelled))

    def score(self, run: str = "", drift: command.Drift = DRIFT) -> Result:
        """The job as the entry point does it, from a command line."""
        self.n_runs += 1
        words = command.score_arguments(self.place(run or f"s{self.n_runs}"), drift=drift)
        return done(Work(command.parse(words), self.runs.lake))

    @property
    def health(self) -> dict[str, Any]:
        document = record.latest(self.runs.lake)
        assert document is not None
        return document


@pytest.fixture(scope="module")
def trained(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run over three kinds with five specimens each in training, whose version is champion."""
    folder = tmp_path_factory.mktemp("drift")
    draw(folder / "landing", frames=FRAMES, kinds=list(KINDS)[:N_KINDS], rotations=ROTATIONS, bad=False)
    runs = Runs(folder, folder / "landing", knobs={**SMALL, "folds": 5})
    runs.through("first")
    tracking.connect(runs.tracking).set_registered_model_alias(runs.name, "champion", "1")
    return runs


@pytest.fixture
def place(trained: Runs, tmp_path: Path) -> Place:
    """A copy of its lake; MLflow is only read."""
    shutil.copytree(trained.folder / "lake", tmp_path / "lake")
    runs = Runs(tmp_path, trained.landing, knobs=trained.knobs)
    shutil.copy(trained.folder / "mlflow.db", tmp_path / "mlflow.db")
    return Place(runs)


def test_train_profiles_its_sample_by_the_folds_that_held_it_out_and_the_version_takes_it_along(trained: Runs, tmp_path: Path) -> None:
    arrays = trained.work("first", "train").arrays("profile")
    made = Profile.from_arrays(arrays)
    assert len(made.labels) == N_KINDS * (ROTATIONS - 1) * FRAMES
    assert (made.members()[1], made.classes) == (N_KINDS * (ROTATIONS - 1), tuple(sorted(list(KINDS)[:N_KINDS])))
    assert arrays["held_out"].all()
    seen = made.observations
    assert seen.words.sum(axis=1) == pytest.approx(np.ones(len(made.labels)), abs=0.01)
    # Each image's own light, whatever order the tasks came in.
    contents = sorted(path for path in trained.landing.glob("Training/*/*.jpg"))
    expected = sorted(light(decode(path.read_bytes(), side_px=512)) for path in contents)
    found = sorted(zip(seen.brightness.tolist(), seen.blur.tolist(), map(tuple, seen.cast.tolist()), strict=True))
    assert [one[0] for one in found] == pytest.approx([one.brightness for one in expected], abs=1e-6)
    assert [one[1] for one in found] == pytest.approx([one.blur for one in expected], abs=1e-6)
    folder = tracking.fetch(trained.tracking, trained.name, 1, tmp_path)
    taken = champion.profile(folder)
    assert taken is not None
    assert all(np.array_equal(taken[name], arrays[name]) for name in arrays)


def test_answers_and_fits_of_the_profile_are_less_good_than_the_models_own(trained: Runs) -> None:
    held, own = (trained.work("first", "train").arrays("profile"), _own(trained))
    assert held["reconstruction"].mean() > own["reconstruction"].mean()
    assert held["quantisation"].mean() > own["quantisation"].mean()
    assert np.array_equal(held["words"], own["words"]), "the words stay the model's"


def _own(trained: Runs) -> dict[str, Any]:
    """The same profile as if no fold had held an image out."""
    from pomona.fitted import fitted
    from pomona.jobs import train
    from pomona.monitoring.training import profiled

    work = trained.work("first", "register")
    roster = work.table("roster").to_pandas()
    sample = roster[roster["split"] == "train"].sort_values("content")
    rows = train._rows(trained.work("first", "train"), sample)
    return profiled(trained.work("first", "train"), fitted(work), rows, [None] * len(rows))


def test_pictures_like_those_of_training_look_so_and_are_counted_once(place: Place) -> None:
    place.put(copies())
    result = place.score()
    health = place.health
    assert (health["why"], health["n_new"], health["n_watched"], health["n_waiting"]) == ("", 48, 48, 0)
    assert [(window["n_images"], window["began"]) for window in health["windows"]] == [(24, False)] * 2
    assert "drift began" not in result.line
    assert result.notes["health"] == 1
    assert place.score().status == "nothing_new"


@pytest.mark.parametrize(("spoil", "symptom"), [(dark, "darker than in training"), (blurred, "blurrier than in training")])
def test_dark_and_blurred_copies_begin_an_episode_with_the_second_window(place: Place, spoil: Any, symptom: str) -> None:
    place.put(copies(spoil))
    result = place.score()
    first, second = place.health["windows"]
    assert (first["began"], second["began"], second["kind"]) == (False, True, "inputs")
    assert any(line.startswith(symptom) for line in second["symptoms"])
    assert "; drift began: " in result.line


def test_what_waits_is_judged_with_the_next_run_and_is_in_its_manifest_meanwhile(place: Place) -> None:
    files = list(copies().items())
    place.put(dict(files[:8]))
    result = place.score()
    assert "; 8 wait for a window: " in result.line
    rows = place.runs.lake.read_rows(place.runs.lake.files("s1", "observations"))
    assert rows.num_rows == place.health["n_waiting"] == 8
    place.put(dict(files[8:20]))
    place.score()
    assert ([window["n_images"] for window in place.health["windows"]], place.health["n_waiting"]) == ([20], 0)
    assert place.health["windows"][0]["from"] <= place.health["windows"][0]["to"] == place.health["at"]
    assert faults(place.runs.lake) == misnamed(place.runs.lake) == []


def test_files_that_are_no_pictures_are_counted_as_such(place: Place) -> None:
    place.put({f"{number}.jpg": b"\xff\xd8\xff broken %d" % number for number in range(30)})
    place.score()
    assert (place.health["n_new"], place.health["n_rejects"], place.health["labels"]) == (30, 30, {})
    assert {window["kind"] for window in place.health["windows"]} == {"rejects"}


def dies(place: Place, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job of run `killed` dies before it writes the first file whose path begins so."""
    watched = DyingFolder(str(place.runs.folder / "lake" / place.runs.name))
    plain = {name: getattr(DyingFolder, name) for name in ("create", "writing")}

    def dying(name: str) -> Callable[..., Any]:
        def write(self: DyingFolder, path: str, *rest: Any) -> Any:
            if path.startswith(at):
                raise Died
            return plain[name](self, path, *rest)

        return write

    with monkeypatch.context() as patch:
        for name in plain:
            patch.setattr(DyingFolder, name, dying(name))
        patch.setattr(lake, "storage", lambda root, s3: watched)
        with pytest.raises(Died):
            place.score("killed")


@pytest.mark.parametrize("at", ["scored/0", "health/0", "runs/killed/manifests/score"])
def test_a_killed_job_run_again_counts_each_picture_once(place: Place, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put(dict(list(copies().items())[:30]))
    dies(place, at, monkeypatch)
    state = scored.latest(place.runs.lake).number
    assert state == (0 if at == "scored/0" else 1)
    # What asks before a cluster is paid for says so too, until there is a document.
    if at == "health/0":
        assert answered(place.place("next")) == ""
    result = place.score("killed")
    assert (result.status, scored.latest(place.runs.lake).number) == ("done", 1)
    documents = place.runs.lake.entries("health")
    assert [(document["run"], document["n_new"], document["n_waiting"]) for document in documents] == [("killed", 30, 6)]
    assert result.notes["health"] == 1
    assert place.score().status == "nothing_new"


def test_a_version_without_a_profile_answers_and_says_why_it_is_not_watched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put(dict(list(copies().items())[:3]))
    monkeypatch.setattr("pomona.jobs.score.champion.profile", lambda folder: None)
    result = place.score()
    assert place.health["why"] == "version 1 has no profile of its training images, for an earlier release registered it"
    assert (result.counts["asked"], place.health["n_new"], place.health["n_watched"]) == (3, 3, 0)
    assert "; not watched for drift: version 1 has no profile" in result.line


def test_switched_off_nothing_is_observed(place: Place) -> None:
    place.put(dict(list(copies().items())[:3]))
    place.score(drift=command.Drift(window=0))
    assert (place.health["why"], place.health["n_new"]) == ("switched off (POMONA_DRIFT_WINDOW is 0)", 3)
    assert place.health["waiting"] is None


def test_of_a_forgotten_picture_nothing_waits(place: Place) -> None:
    files = dict(list(copies().items())[:8])
    place.put(files)
    place.score()
    gone = next(iter(files.values()))
    folder = place.runs.folder / "lake"
    assert any(path.startswith(f"{place.runs.name}/health/rows") for path in traces(gone, folder))
    forget(place.runs.lake, place.runs.tracking, hashlib.sha256(gone).hexdigest(), by="person (ann)", reason="")
    assert traces(gone, folder) == {f"{place.runs.name}/forgotten/000001.json": {"name"}}
    assert place.health["n_waiting"] == 7
    assert place.runs.lake.read_rows([File(**place.health["waiting"])]).num_rows == 7
    assert misnamed(place.runs.lake) == []
    place.score()
    assert (place.health["n_new"], place.health["n_waiting"]) == (0, 7)
