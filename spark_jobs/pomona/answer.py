"""A model version answers in this process with the code it was made with: `python -P answer.py MODEL_FOLDER`.

Run by file path and never imported: nothing of today's `pomona` may be loaded here, for a package that is already imported wins
over the one in the model folder. Images come in on standard input as an Arrow stream (`image`: binary), answers go out on standard
output as one, batch by batch: `probabilities` (list<float64>, null for a bad image), `error` (the reason, null where all is well),
`novelty` and `unknown` (null where the version cannot tell what it does not know).
MLflow is not needed, so that the process is up in half a second and not in five.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO


def main(folder: Path) -> None:
    # Libraries print: whatever goes to file descriptor 1 from here on lands in standard error, and the stream keeps a private one.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answer(load(folder), sys.stdin.buffer, output)


def load(folder: Path) -> Any:
    """The version's own chain.

    Raises
    ------
    SystemExit
        When code from outside the folder was, or would have been, run instead.
    """
    import yaml  # type: ignore[import-untyped]

    card = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["metadata"]["pomona"]
    code = (folder / "code").resolve()
    sys.path.insert(0, str(code))
    module, _, name = str(card["answerer"]).partition(":")
    chain = getattr(importlib.import_module(module), name).load(folder / card["chain"])
    for imported, loaded in list(sys.modules.items()):
        if imported.split(".")[0] == "pomona" and not Path(str(loaded.__file__)).resolve().is_relative_to(code):
            sys.exit(f"{imported} came from {loaded.__file__} and not from {code}")
    return chain


def answer(answerer: Any, source: BinaryIO, sink: BinaryIO) -> None:
    """Reads batches of images until the stream ends, and writes a batch of answers for each."""
    import pyarrow as pa

    types = {"probabilities": pa.list_(pa.float64()), "error": pa.string(), "novelty": pa.float64(), "unknown": pa.bool_()}
    schema = pa.schema(list(types.items()))
    with pa.ipc.open_stream(source) as images, pa.ipc.new_stream(sink, schema) as answers:
        for batch in images:
            rows = [_row(answerer, data) for data in batch.column("image").to_pylist()]
            answers.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            sink.flush()


def _row(answerer: Any, data: bytes) -> dict[str, Any]:
    try:
        if not hasattr(answerer, "told"):
            return {"probabilities": answerer.answer(data).tolist()}
        told = answerer.told(data)
        return {"probabilities": told.probabilities.tolist(), "novelty": told.novelty, "unknown": told.unknown}
    except ValueError as error:
        # The class is the version's own and is known here by its name alone.
        if type(error).__name__ != "BadImage":
            raise
        return {"error": str(error)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
