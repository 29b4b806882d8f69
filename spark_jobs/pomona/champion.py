"""Answers of an earlier version, computed by its own code in a process of its own, and the proof that it still can."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

TOLERANCE = 1e-6
START_LIMIT_S = 120.0
# A dense photograph takes a fraction of a second; a stuck process must not hold a stage until its task's timeout.
LIMIT_S_PER_IMAGE = 5.0


class ChampionFailed(RuntimeError):
    """An earlier version cannot answer; the text says why, in words for the verdict."""


def card(model_folder: Path) -> dict[str, Any]:
    """What the version says of itself: `classes`, where its parts lie, and the facts it was registered with.

    Raises
    ------
    ChampionFailed
        When the folder is no model that Pomona made.
    """
    import yaml

    try:
        found = yaml.safe_load((model_folder / "MLmodel").read_text(encoding="utf-8"))["metadata"]["pomona"]
    except OSError as error:
        raise ChampionFailed(f"its MLmodel cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, KeyError, TypeError):
        raise ChampionFailed("its MLmodel has no part `pomona`: it was not made by Pomona") from None
    return dict(found)


def classes(model_folder: Path) -> tuple[str, ...]:
    """The version's own labels, in the order of its probabilities; they may differ from today's."""
    return tuple(card(model_folder)["classes"])


def trained_on(model_folder: Path) -> frozenset[str]:
    """The contents that the version trained on.

    Raises
    ------
    ChampionFailed
        When it does not say.
    """
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(model_folder / card(model_folder)["trained_on"], columns=["content"])
    except (OSError, ValueError, KeyError) as error:
        raise ChampionFailed(f"what it trained on cannot be read ({error})") from None
    return frozenset(table["content"].to_pylist())


def profile(model_folder: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of the dataset `profile` that the version took along; None for one that an earlier release registered.

    Raises
    ------
    ChampionFailed
        When they cannot be read.
    """
    import zipfile

    import numpy as np

    file = card(model_folder).get("profile")
    if not file:
        return None
    try:
        with np.load(model_folder / file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ChampionFailed(f"its profile cannot be read ({error})") from None


def answers(model_folder: Path, batches: Iterable[list[bytes]]) -> Iterator[NDArray[np.float64]]:
    """For each batch an (n_images, n_classes) float64 array; a row of NaN is an image that the version cannot read.

    One process serves all batches and ends with the iterator. Memory: one batch at a time.

    Raises
    ------
    ChampionFailed
        When the process does not start, dies or is silent for too long; the text ends with its last line on standard error.
    """
    with Answerer(model_folder) as answerer:
        for batch in batches:
            yield answerer.answers(batch)


def reproduces_probes(model_folder: Path) -> str | None:
    """None when the version still gives its probe images the probabilities that it was registered with; else why not, in words."""
    import numpy as np
    import pyarrow.parquet as pq

    try:
        file = model_folder / card(model_folder)["probes"]
        try:
            probes = pq.read_table(file)
        except (OSError, ValueError) as error:
            return f"its probes cannot be read ({error})"
        if not probes.num_rows:
            return "it has no probes"
        expected = np.array(probes.column("probabilities").to_pylist(), np.float64)
        (found,) = answers(model_folder, [probes.column("image").to_pylist()])
    except ChampionFailed as error:
        return str(error)
    if found.shape != expected.shape:
        return f"its probes have {expected.shape[1]} probabilities, it now gives {found.shape[1]}"
    difference = np.abs(found - expected).max(axis=1)
    wrong = int((~(difference <= TOLERANCE)).sum())
    if wrong:
        return f"{wrong} of {len(expected)} probes come out differently (by up to {np.nanmax(difference, initial=0.0):.1g})"
    return None


class Answerer:
    """A process that runs one version's own code; a context manager, so that it is gone when the work is.

    With `observe` it tells beside each answer what the picture looked like to the version.
    """

    def __init__(
        self,
        model_folder: Path,
        *,
        observe: bool = False,
        start_limit_s: float = START_LIMIT_S,
        limit_s_per_image: float = LIMIT_S_PER_IMAGE,
    ) -> None:
        self._n_classes = len(classes(model_folder))
        self._limit_s, self._limit_s_per_image = start_limit_s, limit_s_per_image
        self._expired = 0.0
        self._images: Any = None
        self._answers: Any = None
        # A file and not a pipe: nobody has to drain it, and only its last line is ever read.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        # On a cluster this package is a zip, and a script is run from a file.
        self._resources = contextlib.ExitStack()
        script = self._resources.enter_context(resources.as_file(resources.files("pomona") / "answer.py"))
        # -B: the model folder is left as it was found. In this process's own group, so that whoever kills the job kills it too.
        command = [sys.executable, "-P", "-B", str(script), str(model_folder), *(["observe"] if observe else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, env=_environment())

    def __enter__(self) -> Answerer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answers(self, images: Sequence[bytes]) -> NDArray[np.float64]:
        """(n_images, n_classes) float64; see `answers` of the module."""
        import numpy as np

        blank = [float("nan")] * self._n_classes
        rows = self.told(images).column("probabilities").to_pylist()
        return np.array([blank if row is None else row for row in rows], np.float64).reshape(len(images), self._n_classes)

    def told(self, images: Sequence[bytes]) -> pa.RecordBatch:
        """A row for each image, with the columns that `answer.py` names.

        Raises
        ------
        ChampionFailed
            As `answers` of the module does.
        """
        import pyarrow as pa

        timer = threading.Timer(limit_s := self._limit_s + self._limit_s_per_image * len(images), self._expire, [limit_s])
        timer.start()
        try:
            answers = self._ask(pa.array(images, pa.binary()))
        except (OSError, pa.ArrowException, StopIteration):
            raise ChampionFailed(self._reason()) from None
        finally:
            timer.cancel()
        self._limit_s = self._limit_s_per_image
        return answers

    def close(self) -> None:
        """Ends the process: politely, then by force."""
        with contextlib.suppress(OSError):
            if self._images is not None:
                self._images.close()
            self._stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._resources.close()
        self._stdout.close()
        self._stderr.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _ask(self, images: Any) -> pa.RecordBatch:
        import pyarrow as pa

        schema = pa.schema([("image", pa.binary())])
        if self._images is None:
            self._images = pa.ipc.new_stream(self._stdin, schema)
        self._images.write_batch(pa.record_batch([images], schema=schema))
        self._stdin.flush()
        if self._answers is None:
            self._answers = pa.ipc.open_stream(self._stdout)
        return self._answers.read_next_batch()

    def _expire(self, limit_s: float) -> None:
        self._expired = limit_s
        self._process.kill()

    def _reason(self) -> str:
        """Why there is no answer, after the process is gone."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self._expired:
            return f"its process did not answer within {self._expired:.0f} s"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"its process {how}" + (f": {lines[-1].strip()}" if lines else "")


def _environment() -> dict[str, str]:
    """This process's environment without the way to today's code, and with one thread a library as in every worker."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
