"""The service and MLflow's own server as processes of their own, asked over HTTP."""

import base64
import hashlib
import os
import struct
import sys
import zlib
from pathlib import Path

import jsonschema
import pytest

from pomona import bundle
from tests.drawn_model import chain, pictures, strange_picture
from tests.serving.services import IMAGES, crown, eventually, free_port, in_step, register, running, service


def test_the_service_answers_with_the_probabilities_of_the_chain(client):
    for (label, _), data in zip(pictures(1), IMAGES, strict=True):
        answer = client.post("/predict", content=data).raise_for_status().json()
        expected = dict(zip(("lemon", "lime", "plum"), chain().answer(data), strict=True))
        assert answer["label"] == label and answer["model"] == {"name": "drawn", "version": 1}
        assert answer["probabilities"] == pytest.approx(expected, abs=1e-6)
        assert answer["probability"] == max(answer["probabilities"].values())


def test_an_answer_says_whether_the_picture_is_unknown_to_the_version(client):
    lemon, strange = (client.post("/predict", content=data).raise_for_status().json() for data in (IMAGES[0], strange_picture()))
    assert (lemon["unknown"], strange["unknown"]) == (False, True)
    assert lemon["novelty"] <= 1 < strange["novelty"] and strange["label"] in strange["probabilities"]


@pytest.mark.parametrize("path", ["/predict", "/keypoints"])
def test_answers_and_refusals_are_what_the_service_says_of_itself(client, path):
    said = client.get("/openapi.json").json()["paths"][path]["post"]
    assert set(said["requestBody"]["content"]) == {"image/*", "multipart/form-data"}
    for image in (IMAGES[0], b"hello"):
        answer = client.post(path, content=image)
        told = said["responses"][str(answer.status_code)]
        schema = told["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), schema)
        assert told["description"] and set(answer.json()) == set(schema["properties"])


def test_a_form_with_one_file_is_answered_like_the_bytes(client):
    form = client.post("/predict", files={"image": ("äpfel 1.jpg", IMAGES[0])}).raise_for_status()
    assert form.json() == client.post("/predict", content=IMAGES[0]).json()


def test_keypoints_are_told_in_pixels_of_the_picture(client):
    found = client.post("/keypoints", content=IMAGES[0]).raise_for_status().json()
    assert (found["width"], found["height"]) == (96, 96)
    # The disc reaches from 14 to 82; a grid over the object lies on it and not in the corners.
    assert len(found["keypoints"]) > 50 and all(10 < x < 86 and 10 < y < 86 for x, y, _, _ in found["keypoints"])
    assert client.post("/keypoints", content=b"hello").status_code == 400


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


@pytest.mark.parametrize("side", [10_001, 60_000])
def test_a_picture_with_too_many_pixels_gets_a_413_by_its_header(client, side):
    refused = client.post("/predict", content=png_of(side, side))
    assert (refused.status_code, refused.json()["detail"]) == (413, f"no usable picture: {side}×{side} pixels: over 100 megapixels")


def png_of(width: int, height: int) -> bytes:
    """A PNG that says in its header how large it is, and breaks off."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\x01IDAT"


def test_health_and_version_name_the_version_that_answers(client):
    following = {"state": "in step", "version": 1, "reason": None}
    assert client.get("/health").json() == {"status": "ok", "version": 1, "following": following}
    said = client.get("/version").json()
    assert said.pop("since")[:2] == "20"
    assert said == {"name": "drawn", "version": 1, "run": "r1", "champion": 1, "following": following, "keeps": 1.0}


def test_what_is_asked_is_kept_as_pictures_once_and_nothing_else_of_it(client, kept):
    for _ in range(2):
        client.post("/predict", files={"image": ("my name.jpg", IMAGES[2])}).raise_for_status()
    files = [file for file in kept.rglob("*") if file.is_file()]
    (file,) = [file for file in files if file.read_bytes() == IMAGES[2]]
    assert file.name == f"{hashlib.sha256(IMAGES[2]).hexdigest()}.jpg" and file.parent.parent == kept / "served"
    assert {file.suffix for file in files} <= {".jpg", ".png"}


@pytest.mark.heavy
def test_without_a_champion_the_service_says_what_to_do_and_answers_once_there_is_one(tmp_path):
    empty = f"sqlite:///{tmp_path}/mlflow.db"
    with service(empty, "late", tmp_path / "service.log", "--workers", "1") as (client, _):
        refused = client.post("/predict", content=IMAGES[0])
        assert refused.status_code == 503 and refused.headers["retry-after"] == "5"
        assert refused.json()["detail"] == "late has no champion yet: `make run` trains a first model and makes it the champion"
        assert client.get("/health").status_code == 503 and client.get("/version").json()["version"] is None
        assert not (tmp_path / "mlflow.db").exists()
        register(tmp_path, "late", "r1", alter=lambda model: (model / "artifacts" / "chain" / "encoder.npz").write_bytes(b""))
        register(tmp_path, "late", "r2")
        crown(empty, "late", 1)
        broken = eventually(client, lambda following: following["state"] == "not taken")
        assert broken["status_code"] == 503
        assert broken["detail"].startswith("version 1 of late is not taken (its process ended with exit code 1: ")
        assert broken["detail"].endswith("): move the alias champion in MLflow")
        crown(empty, "late", 2)
        eventually(client, in_step(2))
        assert client.post("/predict", content=IMAGES[0]).json()["label"] == "lemon"


@pytest.mark.heavy
def test_mlflows_own_server_answers_on_the_same_version(store, client, tmp_path):
    port = free_port()
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    command = [mlflow, "models", "serve", "-m", "models:/drawn@champion", "--env-manager", "local", "-p", str(port)]
    # MLflow exports the URIs that it was last told in this process.
    stores = {"MLFLOW_TRACKING_URI": store, "MLFLOW_REGISTRY_URI": store, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    images = [base64.b64encode(data).decode() for data in IMAGES]
    with running(command, port=port, ready="/ping", log=tmp_path / "mlflow.log", **stores) as (server, _):
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
