"""Where Pomona runs: the only reader of the environment.

Every variable is listed, with its default, in `.env.example`; a file `.env` beside it is read too, and the process's environment
wins over it. What stands there for others (AWS's credentials, Airflow's connections) is handed on by the commands that start processes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pomona.s3 import ENCRYPTIONS, S3
from pomona_airflow.settings import checks as check
from pomona_airflow.settings.checks import BadSetting, Read
from pomona_airflow.settings.drift import DriftSettings, read_drift
from pomona_airflow.settings.emr import Emr, read_emr
from pomona_airflow.settings.serve import Serve, read_serve

if TYPE_CHECKING:
    from pomona.command import Place

PROJECT = Path(__file__).resolve().parents[2]
ENGINES = ("local", "spark", "emr", "emr-serverless")
ON_AWS = ("emr", "emr-serverless")
_OF_OTHERS = ("AWS_", "MLFLOW_TRACKING_", "AIRFLOW_CONN_")
_VARIABLE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[^\s#=][^\s=]*)\s*=\s*(?:(?P<quote>['"])(?P<quoted>.*?)(?P=quote)|(?P<bare>.*?))\s*(?:(?<=\s)\#.*)?"""
)


class NotReady(RuntimeError):
    """Something that the deployment needs is not there; the text names it and the remedy, and no retry helps."""


@dataclass(frozen=True)
class Watch:
    """When new images start a run: enough of them and none for a while, or the oldest has waited long enough."""

    min_new_images: int
    settle_s: int
    max_wait_s: int
    poll_s: int
    sqs_queue: str


@dataclass(frozen=True)
class Deployment:
    """One name's places, engine and ports. Texts that may be URIs stay texts; `state` is a folder of this machine."""

    name: str
    landing: str
    labels: str
    unlabelled: str
    lake: str
    engine: str
    tracking: str
    schedule: str
    score_schedule: str
    tidy_schedule: str
    keep_runs: int
    state: Path
    deferrable: bool
    emr: Emr
    spark_cores: str
    spark_memory: str
    spark_ui: bool
    spark_events: str
    spark_connection: str
    spark_driver_host: str
    spark_executor_memory: str
    spark_python: str
    s3: S3
    s3_jars: Path
    watch: Watch
    require_approval: bool
    approval_hours: int
    drift: DriftSettings
    serve: Serve
    airflow_port: int
    mlflow_port: int
    serve_port: int
    history_port: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Deployment:
        """The deployment that the variables describe, by default those of this process and of `.env`.

        Raises
        ------
        BadSetting
            Names the variable, its value and what is allowed.
        """
        values = {**dotenv(PROJECT / ".env"), **os.environ} if environment is None else environment

        def read(variable: str) -> str:
            return values.get(variable, "").strip()

        state = Path(read("POMONA_STATE") or PROJECT / ".pomona").expanduser().absolute()
        lake = check.place("POMONA_LAKE", read("POMONA_LAKE") or str(PROJECT / "lake"))
        landing = check.place("POMONA_LANDING", read("POMONA_LANDING") or str(PROJECT / "landing"))
        engine = read("POMONA_ENGINE") or "local"
        if engine not in ENGINES:
            raise BadSetting(f"POMONA_ENGINE={engine!r} is none of {' | '.join(ENGINES)}")
        tracking = check.uri("POMONA_TRACKING", read("POMONA_TRACKING")) or f"sqlite:///{state / 'mlflow.db'}"
        labels, unlabelled = (_beside(read, variable, landing) for variable in ("POMONA_LABELS", "POMONA_UNLABELLED"))
        if engine in ON_AWS:
            beside = {name: value for name, value in (("POMONA_LABELS", labels), ("POMONA_UNLABELLED", unlabelled)) if value}
            _stop_if_out_of_reach(engine, POMONA_LANDING=landing, POMONA_LAKE=lake, POMONA_TRACKING=tracking, **beside)
        emr, require_approval = read_emr(read, lake=lake), check.truth("POMONA_REQUIRE_APPROVAL", read("POMONA_REQUIRE_APPROVAL"))
        if require_approval and engine == "emr" and not emr.cluster:
            raise BadSetting(
                f"POMONA_REQUIRE_APPROVAL={read('POMONA_REQUIRE_APPROVAL')!r} would keep a run's own cluster waiting for a person until it "
                "ends for being idle: set POMONA_EMR_CLUSTER, or POMONA_ENGINE=emr-serverless"
            )
        return cls(
            name=check.name(read("POMONA_NAME"), landing),
            landing=landing,
            labels=labels,
            unlabelled=unlabelled,
            lake=lake,
            engine=engine,
            tracking=tracking,
            schedule=check.cron("POMONA_SCHEDULE", read("POMONA_SCHEDULE")),
            score_schedule=check.cron("POMONA_SCORE_SCHEDULE", read("POMONA_SCORE_SCHEDULE") or "0 * * * *"),
            tidy_schedule=check.cron("POMONA_TIDY_SCHEDULE", _unless_none(read("POMONA_TIDY_SCHEDULE") or "0 4 * * 0")),
            keep_runs=check.number(read, "POMONA_KEEP_RUNS", 20, 1),
            state=state,
            deferrable=check.truth("POMONA_DEFERRABLE", read("POMONA_DEFERRABLE")),
            emr=emr,
            spark_cores=check.matching(
                "POMONA_SPARK_CORES", read("POMONA_SPARK_CORES") or "*", r"\*|[1-9]\d*", "* (all) or a whole number"
            ),
            spark_memory=check.memory("POMONA_SPARK_MEMORY", read("POMONA_SPARK_MEMORY") or "2g"),
            spark_ui=check.truth("POMONA_SPARK_UI", read("POMONA_SPARK_UI")),
            spark_events=_events(read, engine, state),
            spark_connection=read("POMONA_SPARK_CONNECTION") or "spark_default",
            spark_driver_host=read("POMONA_SPARK_DRIVER_HOST"),
            spark_executor_memory=check.memory(
                "POMONA_SPARK_EXECUTOR_MEMORY", read("POMONA_SPARK_EXECUTOR_MEMORY") or ("4g" if engine in ON_AWS else "1g")
            ),
            spark_python=read("POMONA_SPARK_PYTHON"),
            s3=_s3(read),
            s3_jars=Path(read("POMONA_S3_JARS") or state / "s3-jars").expanduser().absolute(),
            watch=_watch(read),
            require_approval=require_approval,
            approval_hours=check.number(read, "POMONA_APPROVAL_HOURS", 72, 1),
            drift=read_drift(read),
            serve=read_serve(read),
            airflow_port=check.port("POMONA_AIRFLOW_PORT", read("POMONA_AIRFLOW_PORT") or "8080"),
            mlflow_port=check.port("POMONA_MLFLOW_PORT", read("POMONA_MLFLOW_PORT") or "5000"),
            serve_port=check.port("POMONA_SERVE_PORT", read("POMONA_SERVE_PORT") or "8000"),
            history_port=check.port("POMONA_HISTORY_PORT", read("POMONA_HISTORY_PORT") or "18080"),
        )

    def place(self, run: str) -> Place:
        """Where a stage of the run works."""
        # The image of the containers fetches jars with this module before it has the contract.
        from pomona.command import Place

        return Place(run, self.name, self.lake, self.landing, self.tracking, self.s3.text, self.labels, self.unlabelled)

    @property
    def landing_uri(self) -> str:
        """The landing folder as a URI, as Airflow's assets want it."""
        return self.landing if "://" in self.landing else Path(self.landing).as_uri()

    @property
    def registered(self) -> str:
        """The name of the asset that changes when a run has registered a model."""
        return f"models_{self.name}"

    @property
    def drifted(self) -> str:
        """The name of the asset that changes when an episode of drift has begun."""
        return f"drift_{self.name}"

    @property
    def landing_is_empty(self) -> bool:
        """Whether the landing folder has no file anywhere below; False for a URI, which only `ingest` lists."""
        return "://" not in self.landing and not any(files for _, _, files in os.walk(self.landing))


def dotenv(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file as Docker Compose reads it: no quotes, no comment behind a blank. Empty where there is no file."""
    if not path.is_file():
        return {}
    found = (_VARIABLE.fullmatch(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {one["name"]: one["quoted"] if one["quote"] else one["bare"] for one in found if one}


def of_others(path: Path = PROJECT / ".env") -> dict[str, str]:
    """What `.env` says to AWS's, MLflow's and Airflow's own readers, as far as the environment does not: credentials and connections."""
    return {name: value for name, value in dotenv(path).items() if name.startswith(_OF_OTHERS) and name not in os.environ}


def _stop_if_out_of_reach(engine: str, **places: str) -> None:
    """What lies on this machine is out of a cluster's reach."""
    for variable, value in places.items():
        schemes = ("http://", "https://", "arn:") if variable == "POMONA_TRACKING" else ("s3://",)
        if not value.startswith(schemes):
            raise BadSetting(f"{variable}={value!r} cannot be reached from AWS: POMONA_ENGINE={engine} needs {' or '.join(schemes)}…")


def _beside(read: Read, variable: str, landing: str) -> str:
    """The place that the variable names, by default a folder beside the landing zone; empty for none, as beside a whole bucket."""
    given = read(variable)
    if given == "none":
        return ""
    above, divided, _ = landing.rstrip("/").rpartition("/")
    default = f"{above}/{variable.removeprefix('POMONA_').lower()}" if divided and not above.endswith("/") else ""
    return check.place(variable, given or default) if given or default else ""


def _events(read: Read, engine: str, state: Path) -> str:
    """The folder of Spark's event logs, empty for none: EMR keeps its own, which its console opens."""
    given = read("POMONA_SPARK_EVENTS")
    if given == "none" or (not given and engine in ON_AWS):
        return ""
    return check.place("POMONA_SPARK_EVENTS", given or str(state / "events"))


def _unless_none(value: str) -> str:
    return "" if value == "none" else value


def _s3(read: Read) -> S3:
    encryption, key = read("POMONA_S3_ENCRYPTION"), read("POMONA_S3_KMS_KEY")
    if encryption and encryption not in ENCRYPTIONS:
        raise BadSetting(f"POMONA_S3_ENCRYPTION={encryption!r} is none of {' | '.join(ENCRYPTIONS)}")
    if key and encryption != "aws:kms":
        raise BadSetting(f"POMONA_S3_KMS_KEY={key!r} needs POMONA_S3_ENCRYPTION=aws:kms")
    endpoint = check.uri("POMONA_S3_ENDPOINT", read("POMONA_S3_ENDPOINT"))
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise BadSetting(f"POMONA_S3_ENDPOINT={endpoint!r} must begin with http:// or https://")
    return S3(endpoint, read("POMONA_S3_REGION"), encryption, key)


def _watch(read: Read) -> Watch:
    return Watch(
        min_new_images=check.number(read, "POMONA_MIN_NEW_IMAGES", 20, 1),
        settle_s=check.number(read, "POMONA_SETTLE_S", 60, 0),
        max_wait_s=check.number(read, "POMONA_MAX_WAIT_S", 3600, 1),
        poll_s=check.number(read, "POMONA_POLL_S", 20, 0),
        sqs_queue=check.uri("POMONA_SQS_QUEUE", read("POMONA_SQS_QUEUE")),
    )
