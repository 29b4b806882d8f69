"""Another BLAS kernel, as another machine has it, changes last bits at most: labels agree on 99.9 % of the images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SMALL

# Fits on Training and prints a label for every image, in the order of the paths.
_SCRIPT = """
import json, sys
from pathlib import Path
from pomona.knobs import resolve
from pomona.vision.chain import Row, fit_chain
from pomona.vision.describe import Describer, Extractor
folder, knobs = Path(sys.argv[1]), resolve(json.loads(sys.argv[2]))
describer = Describer(Extractor.of(knobs))
paths = sorted(folder.glob("*/*/*.jpg"))
described = {path: describer.describe(path.read_bytes()) for path in paths}
rows = [Row(str(path), path.parent.name, path.parent.name, described[path]) for path in paths if path.parts[-3] == "Training"]
chain = fit_chain(rows, knobs)
from pomona.vision.classify import probabilities
answers = [probabilities(chain.classifier, chain.features(described[path])) for path in paths]
print(json.dumps({"bits": [float(chain.components.sum()), float(answers[0][0])], "labels": [int(answer.argmax()) for answer in answers]}))
"""


def answers(landing: Path, core: str) -> dict[str, list[float]]:
    environment = {**os.environ, "OPENBLAS_CORETYPE": core, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _SCRIPT, str(landing), json.dumps(SMALL)]
    return dict(json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout))


def test_labels_agree_under_another_blas_kernel(orchard):
    sandy, haswell = (answers(orchard, core) for core in ("Sandybridge", "Haswell"))
    # The kernels really differ, or this test would compare nothing.
    assert sandy["bits"] != haswell["bits"]
    same = [one == other for one, other in zip(sandy["labels"], haswell["labels"], strict=True)]
    assert sum(same) / len(same) >= 0.999
    assert len(same) == 60


@pytest.mark.heavy
def test_labels_agree_under_another_blas_kernel_on_photographs(photographs):
    sandy, haswell = (answers(photographs / "fruits10", core) for core in ("Sandybridge", "Haswell"))
    same = [one == other for one, other in zip(sandy["labels"], haswell["labels"], strict=True)]
    assert len(same) == 6821
    assert sum(same) / len(same) >= 0.999
