"""The files that MLflow keeps of this name's runs and models, read and replaced one by one, wherever its artifact store lies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pomona.tracking import RUN_TAG, connect


@dataclass(frozen=True)
class Artifacts:
    """What MLflow keeps of one of our runs in one place: of its MLflow run, or of its model."""

    run: str
    location: str

    def get(self, path: str) -> bytes | None:
        """The file's bytes, or None when there is none."""
        folder = path.rpartition("/")[0]
        if path not in {file.path for file in self._repository.list_artifacts(folder or None)}:
            return None
        with tempfile.TemporaryDirectory(prefix="pomona-artifacts-") as scratch:
            return Path(self._repository.download_artifacts(path, scratch)).read_bytes()

    def put(self, path: str, data: bytes) -> None:
        """Writes the file; one of the same name is replaced."""
        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory(prefix="pomona-artifacts-") as scratch:
            (Path(scratch) / name).write_bytes(data)
            self._repository.log_artifact(str(Path(scratch) / name), folder or None)

    @property
    def _repository(self) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(self.location)


def of_runs(tracking: str, name: str) -> list[Artifacts]:
    """Those of every MLflow run, with report and summary; of one that somebody deleted MLflow keeps the files."""
    return [Artifacts(_run_of(run.data.tags), str(run.info.artifact_uri)) for run in _runs(tracking, name)]


def of_models(tracking: str, name: str) -> list[Artifacts]:
    """Those of every model, of a version or not yet of one, deleted or not."""
    client = connect(tracking)
    found = _all(tracking, name, lambda ids, page: client.search_logged_models(ids, page_token=page))
    models = [Artifacts(_run_of(model.tags), str(model.artifact_location)) for model in found]
    # MLflow finds no deleted model; the run that made it still names it, and it lies where its experiment's models lie.
    there = {model.model_id for model in found}
    for run in _runs(tracking, name):
        for made in (run.outputs and run.outputs.model_outputs) or ():
            if made.model_id not in there:
                kept = str(client.get_experiment(run.info.experiment_id).artifact_location).rstrip("/")
                models.append(Artifacts(_run_of(run.data.tags), f"{kept}/models/{made.model_id}/artifacts"))
    return models


def _runs(tracking: str, name: str) -> list[Any]:
    from mlflow.entities import ViewType

    client = connect(tracking)
    return _all(tracking, name, lambda ids, page: client.search_runs(ids, run_view_type=ViewType.ALL, page_token=page))


def _run_of(tags: Mapping[str, str]) -> str:
    return str(tags.get(RUN_TAG, ""))


def _all(tracking: str, name: str, ask: Callable[[list[str], str | None], Any]) -> list[Any]:
    """What every page of answers about the name's experiment holds."""
    experiment = connect(tracking).get_experiment_by_name(name)
    found: list[Any] = []
    page: str | None = None
    while experiment is not None:
        listed = ask([experiment.experiment_id], page)
        found += listed
        page = listed.token
        if not page:
            break
    return found
