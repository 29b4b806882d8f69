"""A model version answers in this process with the code it was made with: `python -P answer.py MODEL_FOLDER [observe]`.

Run by file path and never imported: nothing of today's `pomona` may be loaded here, for a package that is already imported wins
over the one in the model folder. Images come in on standard input as an Arrow stream (`image`: binary), answers go out on standard
output as one, batch by batch: `probabilities` (list<float64>, null for a bad image), `error` (the reason, null where all is well),
`novelty` and `unknown` (null where the version cannot tell what it does not know). With `observe` there are further columns, what the
picture looked like to the version: `words` (its shares as the bytes of float16), `quantisation`, `reconstruction`, `n_keypoints`,
`brightness`, `blur`, `red`, `blue` (null for a bad image, and from a version that cannot observe).
MLflow is not needed, so that the process is up in half a second and not in five.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def main(folder: Path, *, observe: bool) -> None:
    # Libraries print: whatever goes to file descriptor 1 from here on lands in standard error, and the stream keeps a private one.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answer(load(folder), sys.stdin.buffer, output, observe=observe)


def load(folder: Path) -> Any:
    """The version's own chain.

    Raises
    ------
    SystemExit
        When code from outside the folder was, or would have been, run instead.
    """
    import yaml

    card = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["metadata"]["pomona"]
    code = (folder / "code").resolve()
    sys.path.insert(0, str(code))
    module, _, name = str(card["answerer"]).partition(":")
    chain = getattr(importlib.import_module(module), name).load(folder / card["chain"])
    for imported, loaded in list(sys.modules.items()):
        if imported.split(".")[0] == "pomona" and not Path(str(loaded.__file__)).resolve().is_relative_to(code):
            sys.exit(f"{imported} came from {loaded.__file__} and not from {code}")
    return chain


def answer(answerer: Any, source: BinaryIO, sink: BinaryIO, *, observe: bool = False) -> None:
    """Reads batches of images until the stream ends, and writes a batch of answers for each."""
    import pyarrow as pa

    types = {"probabilities": pa.list_(pa.float64()), "error": pa.string(), "novelty": pa.float64(), "unknown": pa.bool_()}
    if observe:
        numbers = ("quantisation", "reconstruction", "brightness", "blur", "red", "blue")
        types |= {"words": pa.binary(), "n_keypoints": pa.int64(), **dict.fromkeys(numbers, pa.float64())}
    say = _seen if observe and hasattr(answerer, "seen") else _told
    schema = pa.schema(list(types.items()))
    with pa.ipc.open_stream(source) as images, pa.ipc.new_stream(sink, schema) as answers:
        for batch in images:
            rows = [_row(answerer, data, say) for data in batch.column("image").to_pylist()]
            answers.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
            sink.flush()


def _row(answerer: Any, data: bytes, say: Callable[[Any, bytes], dict[str, Any]]) -> dict[str, Any]:
    try:
        return say(answerer, data)
    except ValueError as error:
        # The class is the version's own and is known here by its name alone.
        if type(error).__name__ != "BadImage":
            raise
        return {"error": str(error)}


def _told(answerer: Any, data: bytes) -> dict[str, Any]:
    if not hasattr(answerer, "told"):
        return {"probabilities": answerer.answer(data).tolist()}
    return _answered(answerer.told(data))


def _answered(told: Any) -> dict[str, Any]:
    return {"probabilities": told.probabilities.tolist(), "novelty": told.novelty, "unknown": told.unknown}


def _seen(answerer: Any, data: bytes) -> dict[str, Any]:
    told, seen = answerer.seen(data)
    red, blue = seen.cast
    numbers = {name: getattr(seen, name) for name in ("quantisation", "reconstruction", "n_keypoints", "brightness", "blur")}
    return {**_answered(told), **numbers, "words": seen.words.astype("float16").tobytes(), "red": red, "blue": blue}


if __name__ == "__main__":
    main(Path(sys.argv[1]), observe="observe" in sys.argv[2:])
