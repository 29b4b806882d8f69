"""The trigger forms: of `retrain` one field for each knob, with the command line's own bounds; of `rollback` and `tidy` their few."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from pomona.knobs import KNOBS, Knob

_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def params() -> dict[str, Param]:
    """A parameter for each knob. All but the preset are empty at first: an empty one has the preset's value."""
    return {knob.name: Param(_first(knob), **_schema(knob)) for knob in KNOBS.values()}


def rollback_params() -> dict[str, Param]:
    """Which version is put back and why, or that the hold of an earlier rollback ends."""
    version = "Number of the version to put back. 0: the champion before this one."
    release = "No rollback: ends the hold of an earlier one, so that better models are promoted again."
    return {
        "version": Param(0, type="integer", minimum=0, title="Version", description=version),
        "reason": Param(None, type=["null", "string"], title="Reason", description="Why, in words. The ledger of promotions keeps it."),
        "release": Param(False, type="boolean", title="Release", description=release),
    }


def tidy_params(keep_runs: int) -> dict[str, Param]:
    """How many runs stay, and whether it is only told what would go."""
    keep = "How many of the last runs stay, besides those of every version that was champion or that MLflow still has."
    dry = "Changes nothing: the log says what would go."
    return {
        "keep_runs": Param(keep_runs, type="integer", minimum=1, title="Runs kept", description=keep),
        "dry": Param(False, type="boolean", title="Dry run", description=dry),
    }


def _first(knob: Knob) -> str | None:
    return str(knob.default) if knob.name == "preset" else None


def _schema(knob: Knob) -> dict[str, Any]:
    """The field's JSON schema, as Airflow's form reads it."""
    schema: dict[str, Any] = {"title": _title(knob), "section": knob.section}
    if knob.name == "preset":
        return {**schema, "type": "string", "enum": list(knob.choices), "description": _sentence(knob.help)}
    schema["type"] = ["null", _JSON_TYPES[knob.type]]
    schema["description"] = f"{_sentence(knob.help)} Allowed: {knob.bounds}. Empty: {_values(knob)}."
    if knob.choices:
        schema |= {
            "enum": [None, *knob.choices],
            "values_display": {"null": "as in the preset", **{choice: choice for choice in knob.choices}},
        }
    if knob.type is bool:
        # A switch has no third position for "as in the preset", so two proposals instead; conf may still say true or false.
        schema |= {"type": ["null", "string", "boolean"], "examples": ["true", "false"], "pattern": "^(true|false)$"}
    if knob.minimum is not None:
        schema["minimum"] = knob.minimum
    if knob.maximum is not None:
        schema["maximum"] = knob.maximum
    return schema


def _title(knob: Knob) -> str:
    """The knob's title, its short words written out."""
    text = knob.title
    for short, long in (("N ", "Number of "), ("Max ", "Maximum "), ("Kmeans", "K-Means"), (" mb", " (MB)")):
        text = text.replace(short, long)
    return text


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _values(knob: Knob) -> str:
    """What an empty field means: the default, and the presets that differ."""
    others = [f"{_shown(value)} in {preset}" for preset, value in knob.presets.items()]
    return ", ".join([_shown(knob.default), *others])


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "all"
