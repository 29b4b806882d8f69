"""The whole DAG and the way back through `emr` and `emr-serverless`, without AWS: what is fitted is what one machine fits, to the last bit.

The stand-in takes the requests of the real operators, and the runner runs each step's own spark-submit, by Spark 3.5, from the uploaded
packages, on a lake on S3.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pomona import promotions, reigns, tracking
from pomona.promotions import LakeLedger
from pomona.stages import STAGES
from run.airflow_home import BIN, AirflowHome
from tests.conftest import PROJECT
from tests.emr.conftest import KNOBS, NAME, SECRET, Place, sent
from tests.secret_watch import Passersby, holders
from tests.waiting import wait_until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1500)]
GoBack = Callable[[Place], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def reference(pictures: Path, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """SHA-256 of what the engine `local` fits to the same pictures."""
    from pomona.lake import Lake
    from tests.emr.conftest import chain, hashes

    folder = tmp_path_factory.mktemp("reference")
    variables = {
        "POMONA_NAME": NAME,
        "POMONA_LAKE": str(folder / "lake"),
        "POMONA_TRACKING": f"sqlite:///{folder}/mlflow.db",
        "POMONA_STATE": str(PROJECT / ".pomona"),
        "POMONA_SPARK_MEMORY": "1g",
    }
    process = chain(str(pictures), KNOBS, {**os.environ, **variables})
    said, _ = process.communicate()
    assert process.returncode == 0, said
    lake = Lake(variables["POMONA_LAKE"], NAME)
    (run,) = lake.folders("runs")
    return hashes(lake, run)


def by_command(here: Place) -> subprocess.CompletedProcess[str]:
    """`make rollback`, which submits to what is there."""
    command = [sys.executable, "-m", "run.champion", "rollback", "--reason=lemons"]
    return subprocess.run(command, cwd=PROJECT, env=here.environment, capture_output=True, text=True, check=False)


def by_dag(here: Place) -> subprocess.CompletedProcess[str]:
    """The DAG, which makes a cluster of its own, in the Airflow of `make run`."""
    home = AirflowHome.of(here.deployment.state / "run" / NAME, here.deployment)
    home.migrate()
    command = [str(BIN / "airflow"), "dags", "test", "rollback", "-c", json.dumps({"reason": "lemons"})]
    environment = {**here.environment, **home.variables}
    return subprocess.run(command, cwd=home.folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("engine", "go_back"), [("emr-serverless", by_command), ("emr", by_dag)])
def test_the_whole_dag_on_aws_fits_what_one_machine_fits_and_there_is_a_way_back(
    engine: str, go_back: GoBack, place: Any, pictures: Path, reference: Any, logs: Path
) -> None:
    here: Place = place(POMONA_ENGINE=engine)
    sent(pictures, here)
    with Passersby() as passersby:
        process = here.chain(KNOBS)
        said, _ = process.communicate()
        print(said)
        assert process.returncode == 0, said
        assert "now champion" in said
        (run,) = here.lake.folders("runs")
        assert here.hashes(run) == reference

        # One job a stage, each named after it, and nothing left of any.
        done = "COMPLETED" if engine == "emr" else "SUCCESS"
        assert [(name.rpartition("-")[0], state) for name, state in here.steps()] == [
            (f"pomona-{NAME}-{stage}-{run}", done) for stage in STAGES
        ]
        nothing_is_left(here, n_clusters=1 if engine == "emr" else 0)

        the_run_before_comes_back(here, run, go_back)

    # The keys are nowhere: in no command line, log, lake, request, or MLflow's store.
    assert any(logs.rglob("*.log"))
    assert not [words for words in passersby.seen if SECRET.encode() in words]
    assert holders(logs, (SECRET,)) + holders(here.server.folder / "buckets", (SECRET,)) == []
    assert SECRET not in str(here.account.asked)

    # The model answers from the registry, to somebody who has no keys of the lake.
    picture = min((pictures / "Test").rglob("*.jpg"))
    assert answer(here.variables["POMONA_TRACKING"], picture) == picture.relative_to(pictures / "Test").parts[0]


def the_run_before_comes_back(here: Place, run: str, go_back: GoBack) -> None:
    """Checked where the jobs run, the run's version is champion again and held; one job more there was, and nothing of it is left."""
    first, second = another_champion(here, run)
    jobs, clusters = here.steps(), here.account.ec2.clusters()
    went = go_back(here)
    print(went.stdout, went.stderr)
    assert went.returncode == 0
    (back,) = set(here.lake.folders("runs")) - {run}
    ((job, state),) = set(here.steps()) - set(jobs)
    assert (f"-{back}" in job, state) == (True, jobs[-1][1])
    nothing_is_left(here, n_clusters=2 * len(clusters))
    # What evaluate has found of the same images, asked again of the version's own code.
    official = here.lake.document(here.lake.files(run, "metrics")[0].path)["official"]
    n, right = official["n_images"], round(official["accuracy"] * official["n_images"])
    outcome = here.lake.outcome(back, "rollback")
    assert outcome["status"] == "done"
    assert outcome["line"].startswith(
        f"version {first} of {NAME} is the champion, after version {second}: right on {right} of {n} test images"
    )
    assert tracking.champion_version(here.variables["POMONA_TRACKING"], NAME) == first
    documents = LakeLedger(here.lake).read_all()
    hold, intent = reigns.held(documents), documents[-2]
    assert hold is not None and hold.version == first
    assert (intent["kind"], intent["run"], intent["reason"]) == ("intent", back, "lemons")


def nothing_is_left(here: Place, *, n_clusters: int) -> None:
    """No job and no cluster lives; so many clusters there have been."""
    assert here.runner.live == []
    assert here.account.ec2.live() == []
    ended = ["TERMINATED"] * n_clusters
    wait_until(lambda: [one.state for one in here.account.ec2.clusters()] == ended, 20, "end of the cluster")


def another_champion(here: Place, run: str) -> tuple[int, int]:
    """The run's version, and one that takes its place as a later run's would: of the same files, which spares a second run."""
    uri, ledger = here.variables["POMONA_TRACKING"], LakeLedger(here.lake)
    client, first = tracking.connect(uri), here.lake.document(here.lake.files(run, "registration")[0].path)["version"]
    same = client.get_model_version(NAME, str(first))
    model = same.source.removeprefix("models:/")
    again = client.create_model_version(NAME, source=same.source, run_id=same.run_id, model_id=model, await_creation_for=0)
    second = int(again.version)
    assert promotions.move_champion(uri, NAME, second, expected=first, run="later", reason="better", ledger=ledger).moved
    return first, second


def answer(tracking: str, picture: Path) -> str:
    """The champion's label for the picture, asked in a process of its own as anybody would."""
    asks = (
        f"import sys, mlflow, pandas; model = mlflow.pyfunc.load_model('models:/{NAME}@champion');"
        "print(model.predict(pandas.DataFrame({'image': [open(sys.argv[1], 'rb').read()]}))['label'][0])"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking}
    done = subprocess.run([sys.executable, "-c", asks, str(picture)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
