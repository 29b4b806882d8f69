"""The trigger form: one field for each knob, with the command line's own bounds."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param
from pomona.knobs import KNOBS, Knob

_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def params() -> dict[str, Param]:
    """A parameter for each knob. All but the preset are empty at first: an empty one has the preset's value."""
    return {knob.name: Param(_first(knob), **_schema(knob)) for knob in KNOBS.values()}


def _first(knob: Knob) -> str | None:
    return str(knob.default) if knob.name == "preset" else None


def _schema(knob: Knob) -> dict[str, Any]:
    """The field's JSON schema, as Airflow's form reads it."""
    if knob.name == "preset":
        return {"type": "string", "enum": list(knob.choices), "title": knob.title, "section": knob.section, "description": knob.help}
    schema: dict[str, Any] = {
        "type": ["null", _JSON_TYPES[knob.type]],
        "title": knob.title,
        "section": knob.section,
        "description": f"{_sentence(knob.help)} Allowed: {knob.bounds}. Empty: {_values(knob)}.",
    }
    if knob.choices or knob.type is bool:
        # A switch has no third position for "as the preset has it"; a list has.
        schema["enum"] = [None, *(knob.choices or (True, False))]
        schema["values_display"] = {str(choice).lower(): str(choice).lower() for choice in schema["enum"][1:]}
    if knob.minimum is not None:
        schema["minimum"] = knob.minimum
    if knob.maximum is not None:
        schema["maximum"] = knob.maximum
    return schema


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _values(knob: Knob) -> str:
    """What an empty field means: the default, and the presets that differ."""
    others = [f"{_shown(value)} in {preset}" for preset, value in knob.presets.items()]
    return ", ".join([_shown(knob.default), *others])


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "all"
