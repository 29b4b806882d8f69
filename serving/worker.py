"""A version answers in this process with the code that it was made with: `python -P -B worker.py MODEL_FOLDER`.

Run by file path: nothing of today's `pomona` may be loaded here, for a package that is already imported wins over the one in the model
folder. An order comes in on standard input as its kind, its length and its bytes, and a line of JSON goes out on standard output for each.

Batches are answered by `pomona/answer.py`, which speaks Arrow. Here images come one by one: a line costs both sides 0.08 ms of processor
time and a batch of one 0.20, and the web process that reads lines needs neither pyarrow nor a thread for each of these processes.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

ORDER = struct.Struct("<cI")
ANSWER, KEYPOINTS, PROBES = b"a", b"k", b"p"
TOLERANCE = 1e-6

Reply = dict[str, Any]
Handle = Callable[[bytes, bytes], Reply]


class Told(NamedTuple):
    """What versions of earlier releases say of a picture: their probabilities, (n_classes,) float64, and not what they do not know."""

    probabilities: Any
    novelty: float | None = None
    unknown: bool | None = None


def obey(start: Callable[[], Handle]) -> None:
    """Replies to order after order, and first that it is ready. It ends when standard input closes, at once, whatever it is doing."""
    # Ctrl-C and SIGTERM reach whole groups of processes, and a request in flight is still to be answered: the pipe's end is what counts.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Libraries print: whatever goes to file descriptor 1 from here on lands in standard error, and the replies keep a private one.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    orders: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
    # A reader of its own: Python aborts when it ends by an exception while another thread waits for `sys.stdin`.
    threading.Thread(target=_read, args=(os.fdopen(os.dup(0), "rb"), orders), daemon=True).start()
    handle = start()
    _say(replies, {"ready": True})
    while True:
        _say(replies, handle(*orders.get()))


def _read(source: BinaryIO, orders: queue.SimpleQueue[tuple[bytes, bytes]]) -> None:
    while len(head := source.read(ORDER.size)) == ORDER.size:
        kind, size = ORDER.unpack(head)
        if len(data := source.read(size)) < size:
            break
        orders.put((kind, data))
    os._exit(0)


def _say(replies: BinaryIO, reply: Reply) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def version(folder: Path) -> Handle:
    """Replies to ANSWER, KEYPOINTS and PROBES: what was asked for, or `bad` (why the picture is none) or `fault` (what the code raised)."""
    card = _card(folder)
    chain = load(folder, card)
    kinds: dict[bytes, Callable[[bytes], Reply]] = {
        ANSWER: lambda data: _answer(chain, card["classes"], data),
        KEYPOINTS: lambda data: _keypoints(chain, data),
        PROBES: lambda _: {"problem": _unlike_probes(chain, folder / card["probes"])},
    }

    def handle(kind: bytes, data: bytes) -> Reply:
        try:
            return kinds[kind](data)
        except Exception as error:
            # The class is the version's own and is known here by its name alone.
            if type(error).__name__ == "BadImage":
                return {"bad": str(error), "too_large": _over(float(chain.knobs["max_megapixels"]), data)}
            logging.exception("the version's own code failed")
            return {"fault": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}

    return handle


def load(folder: Path, card: Reply) -> Any:
    """The version's own chain.

    Raises
    ------
    SystemExit
        When code from outside the folder was, or would have been, run instead.
    """
    code = (folder / "code").resolve()
    sys.path.insert(0, str(code))
    module, _, name = str(card["answerer"]).partition(":")
    chain = getattr(importlib.import_module(module), name).load(folder / card["chain"])
    for imported, loaded in list(sys.modules.items()):
        if imported.split(".")[0] == "pomona" and not Path(str(loaded.__file__)).resolve().is_relative_to(code):
            sys.exit(f"{imported} came from {loaded.__file__} and not from {code}")
    return chain


def _card(folder: Path) -> Reply:
    import yaml

    return dict(yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["metadata"]["pomona"])


def _answer(chain: Any, classes: list[str], data: bytes) -> Reply:
    told = _told(chain, data)
    probabilities = told.probabilities.tolist()
    best = max(range(len(classes)), key=probabilities.__getitem__)
    return {
        "label": classes[best],
        "probability": probabilities[best],
        "unknown": told.unknown,
        "novelty": told.novelty,
        "probabilities": dict(zip(classes, probabilities, strict=True)),
    }


def _told(chain: Any, data: bytes) -> Any:
    """Probabilities, novelty and whether the picture is unknown, of which the latter two are None from a version that cannot tell."""
    return chain.told(data) if hasattr(chain, "told") else Told(chain.answer(data))


def _keypoints(chain: Any, data: bytes) -> Reply:
    """Where the picture was described, in pixels of the picture as `width` and `height` say; `keypoints` null from older versions' code."""
    if not hasattr(chain, "keypoints"):
        return {"keypoints": None}
    (width, height), found = chain.keypoints(data)
    return {"width": width, "height": height, "keypoints": found.astype(float).round(1).tolist()}


def _unlike_probes(chain: Any, file: Path) -> str | None:
    """None when the probes get the probabilities that the version was registered with; else what is wrong, in words."""
    import numpy as np
    import pyarrow.parquet as pq

    probes = pq.read_table(file)
    if not probes.num_rows:
        return "it has no probes"
    expected = np.array(probes.column("probabilities").to_pylist(), np.float64)
    found = np.array([_told(chain, data).probabilities for data in probes.column("image").to_pylist()], np.float64)
    if found.shape != expected.shape:
        return f"its probes have {expected.shape[1]} probabilities, it now gives {found.shape[1]}"
    difference = np.abs(found - expected).max(axis=1)
    wrong = int((~(difference <= TOLERANCE)).sum())
    return f"{wrong} of {len(expected)} probes come out differently (by up to {np.nanmax(difference):.1g})" if wrong else None


def _over(max_megapixels: float, data: bytes) -> bool:
    """Whether it was the size that the version refused; asked of refused pictures alone, of their header."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.width * image.height > max_megapixels * 1e6
    except Image.DecompressionBombError:
        return True
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    obey(lambda: version(Path(sys.argv[1])))
