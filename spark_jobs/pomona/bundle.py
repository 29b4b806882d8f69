"""A model folder: everything that one version needs to answer, and to be believed, in one place.

```
MLmodel  entry.py  requirements.txt  conda.yaml  python_env.yaml  input_example.json
code/pomona/         the code as it was when the version was made: model.py and vision/, nothing of Spark or the lake
artifacts/chain/     the weights, .npz without pickle, and knobs.json
artifacts/probes.parquet   probe images and what the version answered for them
artifacts/trained_on.parquet   content and group of each training image
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


def write(folder: Path, *, chain: Chain, probes: Sequence[bytes], trained_on: pa.Table, facts: Mapping[str, Any] | None = None) -> None:
    """Writes the model folder (it must not exist, or be empty); `facts` (JSON types) go into the model's metadata.

    `trained_on` has the columns content and group: what a later comparison must not be made on.
    """
    import mlflow.pyfunc
    import pyarrow.parquet as pq
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="pomona-") as scratch:
        stage = Path(scratch)
        (stage / "entry.py").write_text(ENTRY, encoding="utf-8")
        _copy_code(stage / "pomona")
        (stage / "chain").mkdir()
        chain.save(stage / "chain")
        write_probes(stage / "probes.parquet", chain=chain, images=probes)
        pq.write_table(trained_on, stage / "trained_on.parquet", compression="zstd")
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(stage / "entry.py"),
            code_paths=[str(stage / "pomona")],
            artifacts={
                "chain": str(stage / "chain"),
                "probes": str(stage / "probes.parquet"),
                "trained_on": str(stage / "trained_on.parquet"),
            },
            signature=_signature(),
            input_example=_example(),
            pip_requirements=requirements(),
            metadata={"pomona": _card(chain, facts or {})},
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


def _card(chain: Chain, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What `answer.py` and `champion.py` must know of a version whose code they do not import."""
    return {
        "format": FORMAT,
        "classes": [str(label) for label in chain.classifier.classes],
        "answerer": "pomona.vision.chain:Chain",
        "chain": "artifacts/chain",
        "probes": "artifacts/probes.parquet",
        "trained_on": "artifacts/trained_on.parquet",
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
