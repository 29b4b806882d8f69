import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pomona import tracking
from pomona.champion import reproduces_probes
from tests.drawn_model import chain, knobs, pictures, trained_on

PROBES = [data for _, data in pictures(2, first_seed=200)]
METRICS = {"accuracy": 0.75, "macro_f1": None, "nothing": float("nan")}
TAGS = {"pomona.verdict": "promote", "pomona.knobs": json.dumps(knobs())}

# After each of these calls of MLflow's client the process is killed, and once in the middle of copying the files.
STEPS = (
    "create_experiment",
    "create_run",
    "log_batch",
    "create_logged_model",
    "half of log_model_artifacts",
    "log_model_artifacts",
    "log_outputs",
    "finalize_logged_model",
    "create_registered_model",
    "create_model_version",
)
KILLER = """
import os, shutil, signal, sys, traceback
from pathlib import Path
import cv2
cv2.setNumThreads(1)
from tests.drawn_model import pictures, trained_on
from pomona import tracking
from pomona.vision.chain import Chain
import mlflow, mlflow.pyfunc
# What every child would otherwise import for itself.
import alembic.command, mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store

store, weights, *steps = sys.argv[1:]
chain, probes = Chain.load(Path(weights)), [data for _, data in pictures(2, first_seed=200)]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def killed_after(step):
    name = step.split()[-1]
    real = getattr(mlflow.MlflowClient, name)
    def deadly(self, *given, **named):
        if step.startswith("half"):
            shutil.rmtree(Path(given[1]) / "code")
            (Path(given[1]) / "stale").touch()
        result = real(self, *given, **named)
        die()
    setattr(mlflow.MlflowClient, name, deadly)

def attempt(step, deadly):
    child = os.fork()
    if child == 0:
        try:
            if deadly:
                killed_after(step)
            given = {"chain": chain, "probes": probes, "trained_on": trained_on(), "params": {"seed": 0}, "metrics": {"accuracy": 0.5}}
            tracking.register(store, step.replace(" ", "-"), "r1", tags={}, **given)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

for step in steps:
    print(attempt(step, True), attempt(step, False), flush=True)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    tracking.connect(uri).search_experiments()
    return uri


def register(store: str, name: str, run: str) -> tracking.Registered:
    return tracking.register(
        store, name, run, chain=chain(), probes=PROBES, trained_on=trained_on(), params=knobs(), metrics=METRICS, tags=TAGS
    )


def test_registering_twice_gives_one_run_and_one_version(store):
    first, second = register(store, "twice", "r1"), register(store, "twice", "r1")
    assert (first.version, first.made, second.made) == (1, True, False)
    assert (second.version, second.mlflow_run) == (first.version, first.mlflow_run)
    client = tracking.connect(store)
    assert len(client.search_model_versions("name = 'twice'")) == 1
    assert len(client.search_runs([first.experiment])) == 1
    assert register(store, "twice", "r2").version == 2


def test_run_and_version_carry_the_knobs_the_scores_and_the_tags(store):
    registered = register(store, "carried", "r1")
    client = tracking.connect(store)
    run = client.get_run(registered.mlflow_run)
    assert run.data.params == {name: str(value) for name, value in knobs().items()}
    assert run.data.metrics == {"accuracy": 0.75}
    assert run.info.status == "FINISHED" and run.info.run_name == "r1"
    version = client.get_model_version("carried", "1")
    assert version.tags == {"pomona.run": "r1", **TAGS} and version.run_id == registered.mlflow_run
    assert {key: run.data.tags[key] for key in version.tags} == version.tags
    assert client.get_experiment(registered.experiment).name == "carried"


@pytest.mark.heavy
def test_a_process_killed_at_any_step_leaves_one_complete_version_after_the_next_attempt(store, tmp_path):
    chain().save(tmp_path / "weights")
    done = subprocess.run(
        [sys.executable, "-c", KILLER, store, str(tmp_path / "weights"), *STEPS],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{-signal.SIGKILL} 0"] * len(STEPS), done.stderr
    assert done.stderr == ""
    client = tracking.connect(store)
    for step in STEPS:
        name = step.replace(" ", "-")
        experiment = client.get_experiment_by_name(name).experiment_id
        (run,) = client.search_runs([experiment])
        (version,) = client.search_model_versions(f"name = '{name}'")
        (model,) = client.search_logged_models([experiment])
        assert (run.info.status, str(model.status), version.run_id) == ("FINISHED", "READY", run.info.run_id), step
        assert version.source == f"models:/{model.model_id}", step
        assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id], step
        assert [point.value for point in client.get_metric_history(run.info.run_id, "accuracy")] == [0.5], step
        folder = tracking.fetch(store, name, 1, tmp_path / name)
        assert (folder / "code/pomona/vision/chain.py").is_file() and not (folder / "stale").exists(), step
    assert reproduces_probes(tmp_path / "half-of-log_model_artifacts/1") is None


def test_without_a_version_there_is_no_champion(store):
    assert tracking.champion(store, "unknown") is None
    register(store, "aliasless", "r1")
    assert tracking.champion(store, "aliasless") is None


def test_the_champion_is_the_version_of_the_alias_with_its_run_and_tags(store):
    register(store, "led", "r1")
    register(store, "led", "r2")
    tracking.connect(store).set_registered_model_alias("led", "champion", "1")
    champion = tracking.champion(store, "led")
    assert (champion.version, champion.run, champion.broken) == (1, "r1", "")
    assert champion.tags["pomona.verdict"] == "promote"


def test_an_alias_that_points_to_nothing_is_a_broken_champion_and_not_none(store):
    register(store, "dangling", "r1")
    tracking.connect(store).set_registered_model_alias("dangling", "champion", "1")
    # MLflow refuses to set such an alias; a restored backup or a second registry does not ask it.
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE registered_model_aliases SET version = 7 WHERE name = 'dangling'")
    champion = tracking.champion(store, "dangling")
    assert (champion.version, champion.broken) == (7, "version 7 does not exist, or no more")


def test_a_version_whose_files_are_gone_cannot_be_fetched_and_says_so(store, tmp_path):
    register(store, "fileless", "r1")
    client = tracking.connect(store)
    (model,) = client.search_logged_models([client.get_experiment_by_name("fileless").experiment_id])
    for file in sorted(Path(model.artifact_location.removeprefix("file://")).rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    with pytest.raises(ValueError, match="the files of version 1 of fileless"):
        tracking.fetch(store, "fileless", 1, tmp_path)


def test_files_lie_beside_the_database_and_not_where_the_process_stands(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registered = register(store, "beside", "r1")
    tracking.attach(store, registered.mlflow_run, {"report.html": "one"})
    tracking.attach(store, registered.mlflow_run, {"report.html": "two"})
    assert list(tmp_path.iterdir()) == []
    beside = Path(store.removeprefix("sqlite:///")).parent / "artifacts" / "beside"
    assert [file.read_text() for file in beside.rglob("report.html")] == ["two"]


def test_an_experiment_that_was_deleted_comes_back(store):
    client = tracking.connect(store)
    registered = register(store, "deleted", "r1")
    client.delete_experiment(registered.experiment)
    assert register(store, "deleted", "r2").experiment == registered.experiment


def test_the_store_is_quiet(tmp_path):
    script = (
        "import sys, logging; logging.basicConfig(level=logging.INFO)\n"
        "from pomona import tracking\n"
        "tracking.connect(sys.argv[1]).search_experiments(); print(tracking.champion(sys.argv[1], 'nobody'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{tmp_path}/deep/mlflow.db"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("None\n", "")
