"""The champion in this process: found by its alias, loaded once, with the code that it was made with."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("uvicorn.error")
ALIAS = "champion"
RETRY_S = 5.0


class NoChampion(RuntimeError):
    """There is nothing to answer with; the text says what to do."""


class BadImage(ValueError):
    """The picture cannot be read; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What the model says of one image; `probabilities` in the model's order of classes."""

    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class _Loaded:
    version: int
    run: str
    model: Any
    folder: tempfile.TemporaryDirectory[str]


class Champion:
    """The champion of one name. It stays the version that was loaded first: another version's code needs another process."""

    def __init__(self, *, name: str, tracking: str) -> None:
        self.name = name
        self._tracking = tracking
        self._loaded: _Loaded | None = None
        self._refused: tuple[float, str] | None = None
        self._lock = threading.Lock()

    def load(self) -> _Loaded:
        """The loaded version; looks again for one, at most every few seconds, while there is none.

        Raises
        ------
        NoChampion
            When the alias points to nothing, or to a version that cannot be loaded.
        """
        with self._lock:
            if self._loaded is None:
                if self._refused and time.monotonic() - self._refused[0] < RETRY_S:
                    raise NoChampion(self._refused[1])
                try:
                    self._loaded = self._load()
                except NoChampion as error:
                    self._refused = (time.monotonic(), str(error))
                    raise
            return self._loaded

    def answer(self, image: bytes) -> tuple[Answer, int]:
        """The answer for one image and the version that gave it.

        Raises
        ------
        BadImage, NoChampion
        """
        loaded = self.load()
        label, probability, probabilities, error = _said(loaded.model, image)
        if error is not None:
            raise BadImage(error)
        return Answer(label, probability, probabilities), loaded.version

    def current(self) -> int | None:
        """The version that the alias points to at this moment, which may be younger than the loaded one; None without an alias.

        Raises
        ------
        NoChampion
            When MLflow cannot be asked.
        """
        if not self._has_store():
            return None
        from mlflow.exceptions import MlflowException

        try:
            found = _client(self._tracking).get_registered_model(self.name).aliases.get(ALIAS)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            # The reason stays in the log: it may hold the address, and the address a password.
            log.warning("MLflow cannot be asked", exc_info=error)
            raise NoChampion("MLflow cannot be asked for the champion: the service's log says why") from None
        return None if found is None else int(found)

    def _has_store(self) -> bool:
        """False where asking would make MLflow create an empty database."""
        return not self._tracking.startswith("sqlite:///") or Path(self._tracking.removeprefix("sqlite:///")).is_file()

    def _load(self) -> _Loaded:
        if "pomona" in sys.modules:
            raise RuntimeError("pomona is imported already: the model would run today's code and not its own")
        number = self.current()
        if number is None:
            raise NoChampion(f"{self.name} has no champion yet: `make run` trains a first model and makes it the champion")
        from mlflow.pyfunc import load_model

        folder, path = tempfile.TemporaryDirectory(prefix="pomona-serving-"), list(sys.path)
        try:
            run = _client(self._tracking).get_model_version(self.name, str(number)).tags.get("pomona.run", "")
            model = load_model(f"models:/{self.name}/{number}", dst_path=folder.name).unwrap_python_model()
        except Exception as error:
            # The version's own code runs here and may raise anything.
            folder.cleanup()
            forget_code(path)
            log.warning("version %d of %s cannot be loaded", number, self.name, exc_info=error)
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise NoChampion(f"version {number} of {self.name} cannot be loaded ({line}): move the alias {ALIAS} in MLflow") from None
        _one_thread_a_request()
        return _Loaded(number, run, model, folder)


def _said(model: Any, image: bytes) -> Any:
    """(label, probability, probabilities, error) of one image; versions made before they could be asked for one take a table of one row."""
    if hasattr(model, "answer"):
        return model.answer(image)
    import pandas as pd

    row = model.predict(None, pd.DataFrame({"image": [image]}), {"on_bad_image": "report"}).iloc[0]
    return row["label"], row["probability"], row["probabilities"], row["error"]


def _one_thread_a_request() -> None:
    """Requests are answered side by side; one image has too little to share: on two threads of BLAS its product took ten times as long."""
    import cv2
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    cv2.setNumThreads(1)
    threadpool_limits(limits=1)


def forget_code(path: list[str]) -> None:
    """Takes out what this process or a version that failed has imported, or the next version would run its code."""
    sys.path[:] = path
    for name in [name for name in sys.modules if name.split(".")[0] == "pomona"]:
        del sys.modules[name]


def _client(tracking: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # A server that does not answer is asked again by the next request; MLflow's own seven attempts would hold this one for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    import mlflow

    mlflow.set_tracking_uri(tracking)
    mlflow.set_registry_uri(tracking)
    return mlflow.MlflowClient(tracking, tracking)
