"""Numbers, times and names as the report prints them."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import date

from markupsafe import Markup, escape

# Control characters, the marks that turn the direction of text, and the halves of characters that stand for undecodable bytes.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: object) -> str:
    r"""The text with characters that would be unseen, or would turn its direction, written out (`\n`, `\x00`, `\u202e`)."""
    return _INVISIBLE.sub(lambda match: ascii(match[0])[1:-1], str(text))


def marked(text: str) -> Markup:
    """The text as HTML, escaped, with what stands between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(visible(text)))))


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal and a space that does not break: `93.4 %`; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f}\u00a0%"


def bounds(interval: Sequence[float | None]) -> str:
    """An interval as `90.0 % to 97.0 %`, or that there is none."""
    low, high = interval
    return "no interval" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, with its sign: `+1.2`, `−0.4`, `0.0`; a dash for None."""
    if difference is None:
        return "–"
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def decimals(value: float | None) -> str:
    """A score with three decimals; a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def dollars(usd: float | None, cents_from: float = 1.0) -> str:
    """US dollars to the cent, and to a hundredth of one where the amount is smaller than the bound; a dash for None."""
    if usd is None:
        return "–"
    return f"${usd:,.2f}" if usd >= cents_from else f"${usd:.4f}"


def size(n_bytes: int | None) -> str:
    """Bytes with about three figures: `812 B`, `34.6 MB`; a dash for None."""
    if n_bytes is None:
        return "–"
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.{0 if value >= 99.95 or unit == 'B' else 1}f}\u00a0{unit}"


def clock(seconds: float) -> str:
    """Seconds as hh:mm:ss, rounded to the second."""
    whole = round(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def day_words(moment: date) -> str:
    """A day, or that of a moment, as `2026-11-17`."""
    return f"{moment:%Y-%m-%d}"


def multiple(score: float | None) -> str:
    """A score as the multiple of its threshold that it is, `1.25 ×`; a dash for None."""
    return "–" if score is None else f"{score:.2f}\u00a0×" if score < 99.5 else f"{score:,.0f}\u00a0×"


def rate(records: int | None, seconds: float) -> str:
    """Records a second with about three figures; a dash where nothing is counted."""
    if records is None or seconds <= 0:
        return "–"
    value = records / seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def data_address(image: bytes) -> str:
    """The picture as a `data:` address, by its first bytes PNG or JPEG."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def short(value: object) -> str:
    """A knob's value: numbers without needless digits, an empty text as a word."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" else "(empty)"
