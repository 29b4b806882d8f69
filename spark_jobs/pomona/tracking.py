"""MLflow as the jobs see it: the champion of a name, and one run and one version for each run of Pomona. Imported by jobs only.

MLflow is imported inside `connect`: that takes four seconds of a core, which a job can spend while Spark starts (`warm`).
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pomona import bundle

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from numpy.typing import NDArray

    from pomona.vision.chain import Chain

ALIAS = "champion"
RUN_TAG = "pomona.run"


@dataclass(frozen=True)
class Champion:
    """The version that the alias points to; `broken` says in words why it cannot be used, and is empty when it can."""

    version: int
    run: str
    tags: Mapping[str, str]
    broken: str = ""


@dataclass(frozen=True)
class Registered:
    """The one version of a run of Pomona; `made` is false when an earlier attempt had already made it."""

    version: int
    mlflow_run: str
    experiment: str
    made: bool


def connect(tracking: str) -> MlflowClient:
    """A client of tracking and registry at one URI, which is also the URI of everything else that MLflow does in this process."""
    # Read by MLflow when it is imported. No telemetry, and no guess at requirements from a lock file in the working folder.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for chatty in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    import mlflow

    if (database := _sqlite_file(tracking)) is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    # A version whose source is `models:/…` is looked up by MLflow through these, whatever client asked.
    mlflow.set_tracking_uri(tracking)
    mlflow.set_registry_uri(tracking)
    return mlflow.MlflowClient(tracking, tracking)


def warm(tracking: str) -> threading.Thread:
    """A thread that imports MLflow and opens its store, so that the seconds this takes pass while Spark starts.

    A fault of it is silent: whoever needs the store next meets the same fault and tells it.
    """

    def opened() -> None:
        with contextlib.suppress(Exception):
            connect(tracking).search_experiments(max_results=1)

    thread = threading.Thread(target=opened, name="mlflow-warm", daemon=True)
    thread.start()
    return thread


def champion(tracking: str, name: str) -> Champion | None:
    """The champion of `name`; None when there has never been one or the alias was taken away."""
    number = champion_version(tracking, name)
    return None if number is None else version(tracking, name, number)


def champion_version(tracking: str, name: str) -> int | None:
    """The version number of the champion, whether or not that version exists."""
    return alias_of(connect(tracking), name)


def version(tracking: str, name: str, number: int) -> Champion:
    """A version that is or was champion; a missing one is broken."""
    client = connect(tracking)
    found = _or_none(lambda: client.get_model_version(name, str(number)))
    if found is None:
        return Champion(number, "", {}, f"version {number} does not exist, or no more")
    broken = "" if found.status == "READY" else f"version {number} is {found.status}: {found.status_message or 'no reason given'}"
    return Champion(number, found.tags.get(RUN_TAG, ""), dict(found.tags), broken)


def versions(tracking: str, name: str) -> dict[int, str]:
    """The run key of each version that there is, by number."""
    client, page = connect(tracking), None
    found: dict[int, str] = {}
    while True:
        listed = client.search_model_versions(f"name = '{name}'", page_token=page)
        found |= {int(version.version): str(version.tags.get(RUN_TAG, "")) for version in listed}
        page = listed.token
        if not page:
            return dict(sorted(found.items()))


def fetch(tracking: str, name: str, version: int, folder: Path) -> Path:
    """The model folder of a version, copied afresh to `folder/<version>`.

    Raises
    ------
    ValueError
        When the version or its files are gone; the text says so in words.
    """
    connect(tracking)
    import mlflow
    from mlflow.exceptions import MlflowException

    target = folder / str(version)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        found = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(target)))
    except (MlflowException, OSError) as error:
        raise ValueError(f"the files of version {version} of {name} cannot be read: {str(error).splitlines()[0]}") from None
    if not (found / "MLmodel").is_file():
        raise ValueError(f"the files of version {version} of {name} are gone: there is no MLmodel in them")
    return found


def alias_of(client: MlflowClient, name: str) -> int | None:
    """The version number that the alias `champion` points to, whether or not that version exists."""
    model = _or_none(lambda: client.get_registered_model(name))
    return int(model.aliases[ALIAS]) if model is not None and ALIAS in model.aliases else None


def register(
    tracking: str,
    name: str,
    run: str,
    *,
    chain: Chain,
    probes: Sequence[bytes],
    trained_on: pa.Table,
    params: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    tags: Mapping[str, Any],
    profile: Mapping[str, NDArray[Any]] | None = None,
) -> Registered:
    """The one MLflow version of the run key `run`; each step is found done or done again, so the call may be repeated at will.

    The MLflow run, its model and the version carry the run key as a tag, set in the same transaction that makes them: whatever an
    earlier attempt left when it was killed is found by it. The version is made last, from a complete model only.

    Parameters
    ----------
    params
        the resolved knobs
    metrics
        null and infinite ones are left out
    tags
        of the run and of the version: hashes of data and code, the verdict
    profile
        see `bundle.write`
    """
    client = connect(tracking)
    experiment = _experiment(client, tracking, name)
    texts = {RUN_TAG: run, **{key: str(value) for key, value in tags.items()}}
    mlflow_run = _run(client, experiment, run)
    version = _version(client, name, run)
    made = version is None
    if version is None:
        _log(client, mlflow_run, params, metrics, texts)
        facts = {"name": name, "run": run}
        told: dict[str, Any] = {"chain": chain, "probes": probes, "trained_on": trained_on, "profile": profile, "facts": facts}
        model = _model(client, mlflow_run, run, lambda folder: bundle.write(folder, **told))
        version = _make_version(client, name, run, model, mlflow_run, texts)
    if mlflow_run.info.status != "FINISHED":
        client.set_terminated(mlflow_run.info.run_id)
    return Registered(int(version.version), mlflow_run.info.run_id, experiment, made)


def attach(tracking: str, mlflow_run: str, texts: Mapping[str, str]) -> None:
    """Writes texts (the report, the summary) to the MLflow run, by file name; one of the same name is replaced."""
    client = connect(tracking)
    for name, text in texts.items():
        client.log_text(mlflow_run, text, name)


def tag(tracking: str, name: str, registered: Registered, tags: Mapping[str, str]) -> None:
    """Sets tags of the version and of its MLflow run; one of the same name is replaced."""
    client = connect(tracking)
    for key, value in tags.items():
        client.set_tag(registered.mlflow_run, key, value)
        client.set_model_version_tag(name, str(registered.version), key, value)


def _sqlite_file(tracking: str) -> Path | None:
    return Path(tracking.removeprefix("sqlite:///")) if tracking.startswith("sqlite:///") else None


def _experiment(client: MlflowClient, tracking: str, name: str) -> str:
    from mlflow.exceptions import MlflowException

    # Without a location MLflow writes to ./mlruns, wherever the process happens to stand. A server knows its own.
    database = _sqlite_file(tracking)
    location = None if database is None else (database.resolve().parent / "artifacts" / name).as_uri()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
            assert found is not None
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _run(client: MlflowClient, experiment: str, run: str) -> Run:
    found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{run}'", order_by=["attributes.start_time ASC"], max_results=1)
    return found[0] if found else client.create_run(experiment, tags={RUN_TAG: run}, run_name=run)


def _log(
    client: MlflowClient, mlflow_run: Run, params: Mapping[str, Any], metrics: Mapping[str, float | None], tags: Mapping[str, str]
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    # One time for all attempts: the store then keeps one point for each metric and not one an attempt.
    moment = mlflow_run.info.start_time
    numbers = {key: value for key, value in metrics.items() if value is not None and math.isfinite(value)}
    client.log_batch(
        mlflow_run.info.run_id,
        metrics=[Metric(key, float(value), moment, 0) for key, value in numbers.items()],
        params=[Param(key, str(value)) for key, value in params.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )


def _model(client: MlflowClient, mlflow_run: Run, run: str, write: Any) -> LoggedModel:
    """The run's model with all its files; one that was left half-copied is emptied and copied again."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    found = client.search_logged_models([mlflow_run.info.experiment_id], f"tags.`{RUN_TAG}` = '{run}'")
    ready = [model for model in found if model.status == LoggedModelStatus.READY]
    if ready:
        return ready[0]
    if found:
        model = found[0]
        get_artifact_repository(model.artifact_location).delete_artifacts()  # type: ignore[no-untyped-call]
    else:
        model = client.create_logged_model(
            mlflow_run.info.experiment_id, name="model", source_run_id=mlflow_run.info.run_id, tags={RUN_TAG: run}
        )
    with tempfile.TemporaryDirectory(prefix="pomona-model-") as scratch:
        write(Path(scratch) / "model")
        client.log_model_artifacts(model.model_id, str(Path(scratch) / "model"))
    if not (mlflow_run.outputs and mlflow_run.outputs.model_outputs):
        client.log_outputs(mlflow_run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _version(client: MlflowClient, name: str, run: str) -> ModelVersion | None:
    found = client.search_model_versions(f"name = '{name}' and tags.`{RUN_TAG}` = '{run}'")
    return min(found, key=lambda version: int(version.version), default=None)


def _make_version(client: MlflowClient, name: str, run: str, model: LoggedModel, mlflow_run: Run, tags: Mapping[str, str]) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        name,
        source=f"models:/{model.model_id}",
        run_id=mlflow_run.info.run_id,
        tags=dict(tags),
        model_id=model.model_id,
        description=f"Pomona's run {run}",
        await_creation_for=0,
    )


def _or_none(ask: Any) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
