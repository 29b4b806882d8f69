"""Where Pomona runs: the only reader of the environment.

Every variable is listed, with its default, in `.env.example`; a file `.env` beside it is read too, and the process's environment
wins over it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ENGINES = ("local",)
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_-]+")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


class BadSetting(ValueError):
    """A variable of the environment has a value that Pomona cannot work with."""


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
        landing = _place(read("POMONA_LANDING") or str(PROJECT / "landing"))
        engine = read("POMONA_ENGINE") or "local"
        if engine not in ENGINES:
            raise BadSetting(f"POMONA_ENGINE={engine!r} is none of {' | '.join(ENGINES)}")
        return cls(
            name=_name(read("POMONA_NAME"), landing),
            landing=landing,
            lake=_place(read("POMONA_LAKE") or str(PROJECT / "lake")),
            engine=engine,
            tracking=read("POMONA_TRACKING") or f"sqlite:///{state / 'mlflow.db'}",
            schedule=_cron(read("POMONA_SCHEDULE")),
            state=state,
            spark_cores=_matching("POMONA_SPARK_CORES", read("POMONA_SPARK_CORES") or "*", r"\*|[1-9]\d*", "* (all) or a whole number"),
            spark_memory=_matching("POMONA_SPARK_MEMORY", read("POMONA_SPARK_MEMORY") or "2g", r"[1-9]\d*[mg]", "like 1500m or 2g"),
            spark_ui=_truth("POMONA_SPARK_UI", read("POMONA_SPARK_UI")),
            spark_events=read("POMONA_SPARK_EVENTS") and _place(read("POMONA_SPARK_EVENTS")),
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


def slug(text: str) -> str:
    """The text in small letters, digits, `-` and `_`; empty when nothing is left."""
    return _NOT_IN_A_NAME.sub("-", text.lower()).strip("-_")


def _name(given: str, landing: str) -> str:
    if given and slug(given) != given:
        raise BadSetting(f"POMONA_NAME={given!r} may hold only small letters, digits, - and _: try {slug(given) or 'pomona'!r}")
    return given or slug(landing.rstrip("/").rsplit("/", 1)[-1]) or "pomona"


def _place(text: str) -> str:
    return text if "://" in text else str(Path(text).expanduser().absolute())


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
