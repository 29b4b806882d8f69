"""Imports from the archive and the zip all that a job imports, and lets the compiled parts work: `python proof.py CODE.zip`.

Run by the archive's own Python, where nothing else is. Only PySpark may be missing: it is the cluster's.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import platform
import sys
import zipfile
from collections.abc import Iterator

_OF_THE_CLUSTER = ("pyspark", "py4j")


def main(code: str) -> str:
    """One line on what was imported and where; an ImportError or AssertionError of what was not."""
    sys.path.insert(0, code)
    import pomona

    assert str(pomona.__file__).startswith(code), pomona.__file__
    own, foreign = set(), set()
    with zipfile.ZipFile(code) as sources:
        for name in sources.namelist():
            if name.endswith(".py"):
                own.add(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
                foreign |= set(_foreign(sources.read(name)))
    for module in sorted(own | foreign):
        importlib.import_module(module)
    outside = [module for module in foreign if not _is_inside(module)]
    assert not outside, f"not from the archive: {outside}"
    return f"{_at_work()}; {len(own)} modules of pomona and {len(foreign)} of others imported, Python {platform.python_version()}"


def _foreign(source: bytes) -> Iterator[str]:
    """The modules of the archive that a source imports, in functions too."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            first = name.split(".")[0]
            if first not in sys.stdlib_module_names and first not in ("pomona", *_OF_THE_CLUSTER):
                yield name


def _is_inside(module: str) -> bool:
    found = importlib.util.find_spec(module)
    return found is not None and str(found.origin).startswith(sys.prefix + "/")


def _at_work() -> str:
    """What the compiled packages are, after each has done something."""
    import cv2
    import faiss
    import numpy as np
    import pyarrow as pa
    import sklearn
    from sklearn.linear_model import LogisticRegression

    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    rows = cv2.SIFT.create().detectAndCompute(noise, None)[1]
    words = faiss.Kmeans(rows.shape[1], 4, niter=2, seed=0)
    words.train(rows.astype(np.float32))
    LogisticRegression().fit(rows[:40], np.arange(40) % 2)
    assert pa.table({"row": [row.tobytes() for row in rows]}).num_rows == len(rows)
    return f"cv2 {cv2.__version__}, faiss {faiss.__version__}, numpy {np.__version__}, scikit-learn {sklearn.__version__} at work"


if __name__ == "__main__":
    print(main(sys.argv[1]))
