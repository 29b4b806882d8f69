"""A model folder: everything that one version needs to answer, and to be believed, in one place.

```
MLmodel  entry.py  requirements.txt  conda.yaml  python_env.yaml  input_example.json
code/pomona/         the code as it was when the version was made: model.py and vision/, nothing of Spark or the lake
artifacts/chain/     the weights, .npz without pickle, and knobs.json
artifacts/probes.parquet   probe images and what the version answered for them
artifacts/trained_on.parquet   content and group of each training image
artifacts/profile.npz      what a sample of the training images looked like to it
```
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pomona.vision.chain import Chain

FORMAT = 1
N_PROBES = 32
# What answering needs: an environment made of these five serves the model.
REQUIREMENTS = ("mlflow", "numpy", "opencv-python-headless", "pandas", "pillow")
# A cluster has of MLflow only the part without server, which bears the same version and is a part of the whole everywhere.
_INSTALLED_AS = {"mlflow": "mlflow-skinny"}
# MLflow runs this file when it loads the model; it lives in no package, because it acts when it is imported.
ENTRY = """from mlflow.models import set_model
from pomona.model import ImageClassifier

set_model(ImageClassifier())
"""


def write(
    folder: Path,
    *,
    chain: Chain,
    probes: Sequence[bytes],
    trained_on: pa.Table,
    profile: Mapping[str, NDArray[Any]] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Writes the model folder (it must not exist, or be empty); `facts` (JSON types) go into the model's metadata.

    `trained_on` has the columns content and group: what a later comparison must not be made on. `profile` are the arrays of the dataset of
    that name; without them nobody can tell whether new pictures look as in training.
    """
    import mlflow.pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="pomona-") as scratch:
        stage = Path(scratch)
        (stage / "entry.py").write_text(ENTRY, encoding="utf-8")
        _copy_code(stage / "pomona")
        (stage / "chain").mkdir()
        chain.save(stage / "chain")
        beside = _beside_the_chain(stage, chain=chain, probes=probes, trained_on=trained_on, profile=profile)
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(stage / "entry.py"),
            code_paths=[str(stage / "pomona")],
            artifacts={name: str(stage / file) for name, file in {"chain": "chain", **beside}.items()},
            signature=_signature(),
            input_example=_example(),
            pip_requirements=requirements(),
            metadata={"pomona": _card(chain, beside, facts or {})},
        )
    model = Model.load(str(folder))
    _forget_this_machine(model)
    model.save(str(folder / "MLmodel"))


def requirements() -> list[str]:
    """The few packages that serving needs, pinned to what is installed here."""
    return [f"{name}=={metadata.version(_INSTALLED_AS.get(name, name))}" for name in REQUIREMENTS]


def write_probes(file: Path, *, chain: Chain, images: Sequence[bytes]) -> None:
    """Writes one row a probe: its bytes and the chain's probabilities, at most `N_PROBES` of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    chosen = list(images[:N_PROBES])
    answers = [chain.answer(data).tolist() for data in chosen]
    columns = {"image": pa.array(chosen, pa.binary()), "probabilities": pa.array(answers, pa.list_(pa.float64()))}
    pq.write_table(pa.table(columns), file)


def _beside_the_chain(
    stage: Path, *, chain: Chain, probes: Sequence[bytes], trained_on: pa.Table, profile: Mapping[str, NDArray[Any]] | None
) -> dict[str, str]:
    """The names of the files written into the folder, by what they are."""
    import pyarrow.parquet as pq

    from pomona.formats import npz

    write_probes(stage / "probes.parquet", chain=chain, images=probes)
    pq.write_table(trained_on, stage / "trained_on.parquet", compression="zstd")
    if profile is None:
        return {"probes": "probes.parquet", "trained_on": "trained_on.parquet"}
    (stage / "profile.npz").write_bytes(npz(profile))
    return {"probes": "probes.parquet", "trained_on": "trained_on.parquet", "profile": "profile.npz"}


def _card(chain: Chain, beside: Mapping[str, str], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What `answer.py` and `champion.py` must know of a version whose code they do not import."""
    return {
        "format": FORMAT,
        "classes": [str(label) for label in chain.classifier.classes],
        "answerer": "pomona.vision.chain:Chain",
        "chain": "artifacts/chain",
        **{name: f"artifacts/{file}" for name, file in beside.items()},
        **facts,
    }


def _copy_code(folder: Path) -> None:
    package = resources.files("pomona")
    folder.mkdir()
    for name in ("__init__.py", "model.py"):
        (folder / name).write_bytes((package / name).read_bytes())
    _copy_sources(package / "vision", folder / "vision")


def _copy_sources(source: Traversable, folder: Path) -> None:
    folder.mkdir()
    for item in source.iterdir():
        if item.is_dir() and item.name != "__pycache__":
            _copy_sources(item, folder / item.name)
        elif item.name.endswith(".py"):
            (folder / item.name).write_bytes(item.read_bytes())


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Map

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]),
        outputs=Schema(
            [ColSpec(DataType.string, "label"), ColSpec(DataType.double, "probability"), ColSpec(Map(DataType.double), "probabilities")]
        ),
        params=ParamSchema([ParamSpec("on_bad_image", DataType.string, "raise"), ParamSpec("tell_unknown", DataType.boolean, False)]),
    )


def _example() -> Any:
    """One drawn picture, so that the example shows nobody's photograph."""
    import cv2
    import numpy as np
    import pandas as pd

    picture = np.full((64, 64, 3), 255, np.uint8)
    cv2.circle(picture, (32, 34), 22, (40, 60, 200), -1)
    cv2.line(picture, (32, 12), (38, 3), (30, 70, 90), 3)
    return pd.DataFrame({"image": [cv2.imencode(".jpg", picture)[1].tobytes()]})


def _forget_this_machine(model: Any) -> None:
    """MLflow notes where the files lay before they were copied: temporary folders of this machine, of use to nobody."""
    flavour = model.flavors["python_function"]
    flavour["model_code_path"] = Path(flavour["model_code_path"]).name
    for artifact in flavour["artifacts"].values():
        artifact["uri"] = artifact["path"]
