"""The service and MLflow's own server as processes of their own, asked over HTTP."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from pomona import bundle, tracking
from serving.champion import Champion, NoChampion
from tests.drawn_model import chain, knobs, pictures, trained_on

PROJECT = Path(__file__).resolve().parents[2]
IMAGES = [data for _, data in pictures(1, first_seed=400)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Version 1 of `drawn` is the champion; version 2 is not."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    for run in ("r1", "r2"):
        tracking.register(uri, "drawn", run, chain=chain(), probes=IMAGES, trained_on=trained_on(), params=knobs(), metrics={}, tags={})
    tracking.connect(uri).set_registered_model_alias("drawn", "champion", "1")
    return uri


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], *, port: int, ready: str, log: Path, **environment: str) -> Iterator[httpx.Client]:
    """A client of the server, once it answers at `ready` with whatever status."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            deadline = time.monotonic() + 120
            while True:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                try:
                    client.get(ready)
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield client
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def eventually(client: httpx.Client, beginning: str) -> str:
    """What /health says as soon as it begins so; the service looks for a champion every few seconds."""
    deadline = time.monotonic() + 60
    while True:
        answer = client.get("/health").json()
        text = str(answer.get("detail", answer))
        if text.startswith(beginning):
            return text
        assert time.monotonic() < deadline, text
        time.sleep(0.5)


@contextmanager
def service(store: str, name: str, log: Path, *words: str) -> Iterator[httpx.Client]:
    port = free_port()
    command = [sys.executable, "-m", "serving", "--name", name, "--tracking", store, "--port", str(port), *words]
    with running(command, port=port, ready="/health", log=log) as client:
        yield client


@pytest.fixture(scope="module")
def client(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with service(store, "drawn", tmp_path_factory.mktemp("logs") / "service.log", "--max-mb", "0.5") as client:
        yield client


def test_the_service_answers_with_the_probabilities_of_the_chain(client):
    for (label, _), data in zip(pictures(1), IMAGES, strict=True):
        answer = client.post("/predict", content=data).raise_for_status().json()
        expected = dict(zip(("lemon", "lime", "plum"), chain().answer(data), strict=True))
        assert answer["label"] == label and answer["model"] == {"name": "drawn", "version": 1}
        assert answer["probabilities"] == pytest.approx(expected, abs=1e-6)
        assert answer["probability"] == max(answer["probabilities"].values())


def test_a_form_with_one_file_is_answered_like_the_bytes(client):
    form = client.post("/predict", files={"image": ("äpfel 1.jpg", IMAGES[0])}).raise_for_status()
    assert form.json() == client.post("/predict", content=IMAGES[0]).json()


def test_what_is_no_picture_gets_a_400_that_says_so(client):
    refused = client.post("/predict", content=b"hello")
    assert (refused.status_code, refused.json()["detail"][:27]) == (400, "no usable picture: no JPEG,")
    truncated = client.post("/predict", content=IMAGES[0][:-400])
    assert truncated.status_code == 400 and truncated.json()["detail"].startswith("no usable picture: ")
    assert client.post("/predict").json()["detail"].startswith("the body is empty")
    none = client.post("/predict", files={"comment": (None, "no file")})
    assert (none.status_code, none.json()["detail"][:20]) == (400, "the form has 0 files")
    two = client.post("/predict", files=[("image", IMAGES[0]), ("image", IMAGES[1])])
    assert (two.status_code, two.json()["detail"][:20]) == (400, "the form has 2 files")


def test_a_body_that_is_too_large_gets_a_413_with_and_without_its_length(client):
    large = b"\0" * 600_000
    told = client.post("/predict", content=large)
    chunked = client.post("/predict", content=(large[i : i + 10_000] for i in range(0, len(large), 10_000)))
    for refused in (told, chunked):
        assert (refused.status_code, refused.json()["detail"]) == (413, "the body is larger than 0.5 MB")


def test_health_and_version_name_the_version_that_answers(client):
    assert client.get("/health").json() == {"status": "ok", "version": 1}
    assert client.get("/version").json() == {"name": "drawn", "version": 1, "run": "r1", "champion": 1}


@pytest.mark.heavy
def test_without_a_champion_the_service_says_what_to_do_and_answers_once_there_is_one(store, tmp_path):
    empty = f"sqlite:///{tmp_path}/mlflow.db"
    with service(empty, "late", tmp_path / "service.log") as client:
        refused = client.post("/predict", content=IMAGES[0])
        assert refused.status_code == 503 and refused.headers["retry-after"] == "5"
        assert refused.json()["detail"] == "late has no champion yet: `make run` trains a first model and makes it the champion"
        assert client.get("/health").status_code == 503 and client.get("/version").json()["version"] is None
        assert not (tmp_path / "mlflow.db").exists()
        for run in ("r1", "r2"):
            tracking.register(empty, "late", run, chain=chain(), probes=IMAGES, trained_on=trained_on(), params={}, metrics={}, tags={})
            if run == "r1":
                (weights,) = (tmp_path / "artifacts").rglob("encoder.npz")
                weights.write_bytes(b"")
        tracking.connect(empty).set_registered_model_alias("late", "champion", "1")
        assert eventually(client, "version 1 of late cannot be loaded").endswith("move the alias champion in MLflow")
        tracking.connect(empty).set_registered_model_alias("late", "champion", "2")
        assert eventually(client, "{'status': 'ok', 'version': 2}")
        assert client.post("/predict", content=IMAGES[0]).json()["label"] == "lemon"


def test_the_service_runs_the_code_of_the_version_and_not_todays(tmp_path):
    changed = f"sqlite:///{tmp_path}/mlflow.db"
    tracking.register(changed, "changed", "r1", chain=chain(), probes=IMAGES, trained_on=trained_on(), params={}, metrics={}, tags={})
    (source,) = (tmp_path / "artifacts").rglob("code/pomona/vision/chain.py")
    source.write_text(source.read_text().replace("return probabilities(", "return 0.5 * probabilities("))
    tracking.connect(changed).set_registered_model_alias("changed", "champion", "1")
    with service(changed, "changed", tmp_path / "service.log") as client:
        answer = client.post("/predict", content=IMAGES[0]).json()
    assert sum(answer["probabilities"].values()) == pytest.approx(0.5)


def test_an_mlflow_that_does_not_answer_is_not_taken_for_a_missing_champion():
    silent = Champion(name="drawn", tracking=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NoChampion, match="MLflow cannot be asked for the champion: the service's log says why"):
        silent.current()


@pytest.mark.heavy
def test_mlflows_own_server_answers_on_the_same_version(store, client, tmp_path):
    port = free_port()
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    command = [mlflow, "models", "serve", "-m", "models:/drawn@champion", "--env-manager", "local", "-p", str(port)]
    # MLflow exports the URIs that it was last told in this process.
    stores = {"MLFLOW_TRACKING_URI": store, "MLFLOW_REGISTRY_URI": store, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    images = [base64.b64encode(data).decode() for data in IMAGES]
    with running(command, port=port, ready="/ping", log=tmp_path / "mlflow.log", **stores) as server:
        body = {"dataframe_split": {"columns": ["image"], "data": [[image] for image in images]}}
        rows = server.post("/invocations", json=body).raise_for_status().json()["predictions"]
        body = {"dataframe_records": [{"image": images[0]}, {"image": base64.b64encode(b"hello").decode()}]}
        refused = server.post("/invocations", json=body)
        reported = server.post("/invocations", json=body | {"params": {"on_bad_image": "report"}}).json()["predictions"]
    for row, data in zip(rows, IMAGES, strict=True):
        ours = client.post("/predict", content=data).json()
        assert row["label"] == ours["label"] and row["probabilities"] == pytest.approx(ours["probabilities"], abs=1e-6)
    assert refused.status_code == 400 and "image 1 of 2: no JPEG" in refused.json()["message"]
    assert reported[0]["label"] == "lemon" and reported[0]["error"] is None
    assert reported[1] == {"label": None, "probability": None, "probabilities": {}, "error": reported[1]["error"]}


def test_a_served_version_needs_only_what_it_pins():
    names = {line.split("==")[0] for line in bundle.requirements()}
    assert names == {"mlflow", "numpy", "opencv-python-headless", "pandas", "pillow"}
