"""What a setting may be: texts of the environment, checked and turned into values; a wrong one names its variable."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_-]+")
_INSTEAD = {
    "TRACKING": "use an MLflow server, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    **dict.fromkeys(
        ("LANDING", "LABELS", "UNLABELLED", "LAKE", "SPARK", "S3", "SQS", "EMR"),
        "give credentials as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role",
    ),
}
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
# Airflow's own names.
_TIMES = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
# Gives the text of a variable, stripped; empty when it is not set.
Read = Callable[[str], str]


class BadSetting(ValueError):
    """A variable of the environment has a value that Pomona cannot work with."""


def slug(text: str) -> str:
    """The text in small letters, digits, `-` and `_`; empty when nothing is left."""
    return _NOT_IN_A_NAME.sub("-", text.lower()).strip("-_")


def name(given: str, landing: str) -> str:
    """The given name, or one from the landing folder's."""
    if given and slug(given) != given:
        raise BadSetting(f"POMONA_NAME={given!r} may hold only small letters, digits, - and _: try {slug(given) or 'pomona'!r}")
    return given or slug(landing.rstrip("/").rsplit("/", 1)[-1]) or "pomona"


def place(variable: str, text: str) -> str:
    """The URI, or the folder's absolute path."""
    return uri(variable, text) if "://" in text else str(Path(text).expanduser().absolute())


def uri(variable: str, text: str) -> str:
    """The text, which must hold no password: it stands in process lists, logs and pages."""
    if urlsplit(text).password:
        raise BadSetting(f"{variable} holds a password, which every process list would show: {_INSTEAD[variable.split('_')[1]]}")
    return text


def number(read: Read, variable: str, default: int, least: int, most: int | None = None) -> int:
    """The whole number that the variable says."""
    value = read(variable) or str(default)
    if not value.isdigit() or int(value) < least or (most is not None and int(value) > most):
        raise BadSetting(f"{variable}={value!r} must be a whole number from {least}" + (f" to {most}" if most is not None else ""))
    return int(value)


def share(variable: str, value: str) -> float:
    """A share between 0 and 1; empty is 0."""
    if not re.fullmatch(r"(1(\.0*)?|0?\.\d+|0)?", value):
        raise BadSetting(f"{variable}={value!r} must be a share from 0 to 1, like 0.05")
    return float(value or 0)


def memory(variable: str, value: str) -> str:
    """A heap's size as Spark writes it."""
    return matching(variable, value, r"[1-9]\d*[mg]", "like 1500m or 2g")


def matching(variable: str, value: str, pattern: str, allowed: str) -> str:
    """The value, which the whole pattern must match."""
    if not re.fullmatch(pattern, value):
        raise BadSetting(f"{variable}={value!r} must be {allowed}")
    return value


def cron(variable: str, value: str) -> str:
    """Five fields that Airflow can read, one of its names for such, or empty: with another schedule a DAG would just not be there."""
    from croniter import croniter

    if value and value not in _TIMES and not (len(value.split()) == 5 and croniter.is_valid(value)):
        raise BadSetting(f"{variable}={value!r} must be five cron fields (minute, hour, day, month, weekday), like 0 3 * * *, or empty")
    return value


def port(variable: str, value: str) -> int:
    """A port's number."""
    if not value.isdigit() or not 1 <= int(value) <= 65535:
        raise BadSetting(f"{variable}={value!r} must be a port, 1 to 65535")
    return int(value)


def truth(variable: str, value: str) -> bool:
    """True or false; empty is false."""
    if value.lower() not in _TRUTH:
        raise BadSetting(f"{variable}={value!r} must be true or false")
    return _TRUTH[value.lower()]
