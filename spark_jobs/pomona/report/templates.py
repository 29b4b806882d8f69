"""The templates of the pages, with the filters that print numbers and names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

import jinja2

from pomona.report import formats

_FILTERS: tuple[Callable[..., str], ...] = (
    formats.percent,
    formats.bounds,
    formats.points,
    formats.decimals,
    formats.count,
    formats.clock,
    formats.day_words,
    formats.multiple,
    formats.dollars,
    formats.size,
    formats.short,
    formats.visible,
    formats.marked,
)


def environment() -> jinja2.Environment:
    """What renders the templates beside this file: whatever comes from file names and labels is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Labels of every kind pass here: what is unseen or turns the text round is written out, everywhere.
        finalize=lambda value: formats.visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
    )
    for filter_ in _FILTERS:
        made.filters[filter_.__name__] = filter_
    made.filters["address"] = formats.data_address
    made.globals["rate"] = formats.rate
    return made


def source(name: str) -> str:
    """The text of a template."""
    # Through importlib, not the file system: on a cluster the package is a zip.
    return resources.files("pomona.report").joinpath(name).read_text(encoding="utf-8")
