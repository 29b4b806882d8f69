"""Where Pomona runs: the only reader of the environment.

Every variable is listed, with its default, in `.env.example`; a file `.env` beside it is read too, and the process's environment
wins over it. What stands there for others (AWS's credentials, Airflow's connections) is handed on by the commands that start processes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pomona.s3 import ENCRYPTIONS, S3

PROJECT = Path(__file__).resolve().parents[2]
ENGINES = ("local", "spark")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_-]+")
_INSTEAD = {
    "TRACKING": "use an MLflow server, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    **dict.fromkeys(
        ("LANDING", "LAKE", "SPARK", "S3", "SQS"), "give credentials as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role"
    ),
}
_OF_OTHERS = ("AWS_", "MLFLOW_TRACKING_", "AIRFLOW_CONN_")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


class BadSetting(ValueError):
    """A variable of the environment has a value that Pomona cannot work with."""


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
    lake: str
    engine: str
    tracking: str
    schedule: str
    state: Path
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
    airflow_port: int
    mlflow_port: int
    serve_port: int

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
        landing = _place("POMONA_LANDING", read("POMONA_LANDING") or str(PROJECT / "landing"))
        engine = read("POMONA_ENGINE") or "local"
        if engine not in ENGINES:
            raise BadSetting(f"POMONA_ENGINE={engine!r} is none of {' | '.join(ENGINES)}")
        return cls(
            name=_name(read("POMONA_NAME"), landing),
            landing=landing,
            lake=_place("POMONA_LAKE", read("POMONA_LAKE") or str(PROJECT / "lake")),
            engine=engine,
            tracking=_open("POMONA_TRACKING", read("POMONA_TRACKING")) or f"sqlite:///{state / 'mlflow.db'}",
            schedule=_cron(read("POMONA_SCHEDULE")),
            state=state,
            spark_cores=_matching("POMONA_SPARK_CORES", read("POMONA_SPARK_CORES") or "*", r"\*|[1-9]\d*", "* (all) or a whole number"),
            spark_memory=_memory("POMONA_SPARK_MEMORY", read("POMONA_SPARK_MEMORY") or "2g"),
            spark_ui=_truth("POMONA_SPARK_UI", read("POMONA_SPARK_UI")),
            spark_events=read("POMONA_SPARK_EVENTS") and _place("POMONA_SPARK_EVENTS", read("POMONA_SPARK_EVENTS")),
            spark_connection=read("POMONA_SPARK_CONNECTION") or "spark_default",
            spark_driver_host=read("POMONA_SPARK_DRIVER_HOST"),
            spark_executor_memory=_memory("POMONA_SPARK_EXECUTOR_MEMORY", read("POMONA_SPARK_EXECUTOR_MEMORY") or "1g"),
            spark_python=read("POMONA_SPARK_PYTHON"),
            s3=_s3(read),
            s3_jars=Path(read("POMONA_S3_JARS") or state / "s3-jars").expanduser().absolute(),
            watch=_watch(read),
            airflow_port=_port("POMONA_AIRFLOW_PORT", read("POMONA_AIRFLOW_PORT") or "8080"),
            mlflow_port=_port("POMONA_MLFLOW_PORT", read("POMONA_MLFLOW_PORT") or "5000"),
            serve_port=_port("POMONA_SERVE_PORT", read("POMONA_SERVE_PORT") or "8000"),
        )

    @property
    def landing_uri(self) -> str:
        """The landing folder as a URI, as Airflow's assets want it."""
        return self.landing if "://" in self.landing else Path(self.landing).as_uri()

    @property
    def landing_is_empty(self) -> bool:
        """Whether the landing folder has no file anywhere below; False for a URI, which only `ingest` lists."""
        return "://" not in self.landing and not any(files for _, _, files in os.walk(self.landing))


def dotenv(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file, quotes taken off; empty when there is no such file."""
    if not path.is_file():
        return {}
    pairs = (
        line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line and not line.lstrip().startswith("#")
    )
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def of_others(path: Path = PROJECT / ".env") -> dict[str, str]:
    """What `.env` says to AWS's, MLflow's and Airflow's own readers, as far as the environment does not: credentials and connections."""
    return {name: value for name, value in dotenv(path).items() if name.startswith(_OF_OTHERS) and name not in os.environ}


def slug(text: str) -> str:
    """The text in small letters, digits, `-` and `_`; empty when nothing is left."""
    return _NOT_IN_A_NAME.sub("-", text.lower()).strip("-_")


def _name(given: str, landing: str) -> str:
    if given and slug(given) != given:
        raise BadSetting(f"POMONA_NAME={given!r} may hold only small letters, digits, - and _: try {slug(given) or 'pomona'!r}")
    return given or slug(landing.rstrip("/").rsplit("/", 1)[-1]) or "pomona"


def _place(variable: str, text: str) -> str:
    return _open(variable, text) if "://" in text else str(Path(text).expanduser().absolute())


def _open(variable: str, uri: str) -> str:
    """The URI, which must hold no password: it stands in process lists, logs and pages."""
    if urlsplit(uri).password:
        raise BadSetting(f"{variable} holds a password, which every process list would show: {_INSTEAD[variable.split('_')[1]]}")
    return uri


def _s3(read: Callable[[str], str]) -> S3:
    encryption, key = read("POMONA_S3_ENCRYPTION"), read("POMONA_S3_KMS_KEY")
    if encryption and encryption not in ENCRYPTIONS:
        raise BadSetting(f"POMONA_S3_ENCRYPTION={encryption!r} is none of {' | '.join(ENCRYPTIONS)}")
    if key and encryption != "aws:kms":
        raise BadSetting(f"POMONA_S3_KMS_KEY={key!r} needs POMONA_S3_ENCRYPTION=aws:kms")
    endpoint = _open("POMONA_S3_ENDPOINT", read("POMONA_S3_ENDPOINT"))
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise BadSetting(f"POMONA_S3_ENDPOINT={endpoint!r} must begin with http:// or https://")
    return S3(endpoint, read("POMONA_S3_REGION"), encryption, key)


def _watch(read: Callable[[str], str]) -> Watch:
    def number(variable: str, default: int, least: int) -> int:
        value = read(variable) or str(default)
        if not value.isdigit() or int(value) < least:
            raise BadSetting(f"{variable}={value!r} must be a whole number from {least}")
        return int(value)

    return Watch(
        min_new_images=number("POMONA_MIN_NEW_IMAGES", 20, 1),
        settle_s=number("POMONA_SETTLE_S", 60, 0),
        max_wait_s=number("POMONA_MAX_WAIT_S", 3600, 1),
        poll_s=number("POMONA_POLL_S", 20, 0),
        sqs_queue=_open("POMONA_SQS_QUEUE", read("POMONA_SQS_QUEUE")),
    )


def _memory(variable: str, value: str) -> str:
    return _matching(variable, value, r"[1-9]\d*[mg]", "like 1500m or 2g")


def _matching(variable: str, value: str, pattern: str, allowed: str) -> str:
    if not re.fullmatch(pattern, value):
        raise BadSetting(f"{variable}={value!r} must be {allowed}")
    return value


def _cron(value: str) -> str:
    """Five fields, or empty; what stands in them is checked where the schedule is built."""
    if value and len(value.split()) != 5 and not value.startswith("@"):
        raise BadSetting(f"POMONA_SCHEDULE={value!r} must be five cron fields, like 0 3 * * *, or empty")
    return value


def _port(variable: str, value: str) -> int:
    if not value.isdigit() or not 1 <= int(value) <= 65535:
        raise BadSetting(f"{variable}={value!r} must be a port, 1 to 65535")
    return int(value)


def _truth(variable: str, value: str) -> bool:
    if value.lower() not in _TRUTH:
        raise BadSetting(f"{variable}={value!r} must be true or false")
    return _TRUTH[value.lower()]
