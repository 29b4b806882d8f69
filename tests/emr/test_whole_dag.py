"""The whole DAG through `emr` and `emr-serverless`, without AWS: what it fits is what one machine fits, to the last bit.

The stand-in takes the requests of the real operators, and the runner runs each step's own spark-submit, by Spark 3.5, from the uploaded
packages, on a lake on S3.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pomona.stages import STAGES
from tests.conftest import PROJECT
from tests.emr.conftest import KNOBS, NAME, SECRET, Place, sent, wait_until
from tests.secret_watch import Passersby, holders

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1500)]


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


@pytest.mark.parametrize("engine", ["emr-serverless", "emr"])
def test_the_whole_dag_on_aws_fits_what_one_machine_fits(engine: str, place: Any, pictures: Path, reference: Any, logs: Path) -> None:
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
    assert [(name.rpartition("-")[0], state) for name, state in here.steps()] == [(f"pomona-{NAME}-{one}-{run}", done) for one in STAGES]
    assert here.runner.live == []
    assert here.account.ec2.live() == []
    ended = ["TERMINATED"] if engine == "emr" else []
    wait_until(lambda: [one.state for one in here.account.ec2.clusters()] == ended, 20, "end of the cluster")

    # The keys are nowhere: in no command line, log, lake, request, or MLflow's store.
    assert any(logs.rglob("*.log"))
    assert not [words for words in passersby.seen if SECRET.encode() in words]
    assert holders(logs, (SECRET,)) + holders(here.server.folder / "buckets", (SECRET,)) == []
    assert SECRET not in str(here.account.asked)

    # The model answers from the registry, to somebody who has no keys of the lake.
    picture = min((pictures / "Test").rglob("*.jpg"))
    assert answer(here.variables["POMONA_TRACKING"], picture) == picture.relative_to(pictures / "Test").parts[0]


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
