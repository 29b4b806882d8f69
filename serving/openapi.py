"""What the service's own description, /openapi.json, says of bodies and answers."""

from __future__ import annotations

from typing import Any

_FILE = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {"image": _FILE}}
_BODY = {"required": True, "content": {"image/*": {"schema": _FILE}, "multipart/form-data": {"schema": _FORM}}}
_REFUSALS = {
    "400": "no usable picture, or no image in the body: `detail` says what is wrong",
    "408": "the body did not arrive in time",
    "413": "the body, or the picture in it, is too large",
    "429": "too many requests at once: ask again after `Retry-After` seconds",
    "500": "the version's own code failed on this picture",
    "503": "nobody can answer now: ask again after `Retry-After` seconds",
}


def _of(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _described(what: str, schema: dict[str, Any], *, refusals: dict[str, str]) -> dict[str, Any]:
    answer = {"description": what, "content": {"application/json": {"schema": schema}}}
    why = {"application/json": {"schema": _of(detail={"type": "string"})}}
    refused = {status: {"description": text, "content": why} for status, text in refusals.items()}
    return {"requestBody": _BODY, "responses": {"200": answer, **refused}}


_MODEL = _of(name={"type": "string"}, version={"type": "integer"})
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
PREDICT = _described(
    "what the champion says of the picture",
    _of(
        label={"type": "string", "description": "the likeliest class; of an unknown picture no more than the nearest guess"},
        probability={**_SHARE, "description": "of the label"},
        unknown={
            "type": ["boolean", "null"],
            "description": "whether the picture is like nothing that the version was trained on; null from a version that cannot tell",
        },
        novelty={
            "type": ["number", "null"],
            "description": "how unlike what it was trained on; above 1 the picture is unknown; null where `unknown` is",
        },
        probabilities={"type": "object", "additionalProperties": _SHARE, "description": "of every class; they sum to 1"},
        model=_MODEL,
    ),
    refusals=_REFUSALS,
)
KEYPOINTS = _described(
    "where the picture was described",
    _of(
        width={"type": "integer", "description": "pixels of the picture as it was described"},
        height={"type": "integer"},
        keypoints={
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
            "description": "x, y and size in pixels, angle in degrees",
        },
        model=_MODEL,
    ),
    refusals={**_REFUSALS, "501": "the version was made by a release that could not tell its keypoints"},
)
