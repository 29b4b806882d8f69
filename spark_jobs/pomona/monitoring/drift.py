"""Whether a window of new images looks as training did, what has changed, and how that is said. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pomona.monitoring.panel import SCALARS, STATISTICS, Compared, Panel, against, calibrated
from pomona.monitoring.profile import Profile
from pomona.vision.observe import Observations

Kind = Literal["none", "mix", "inputs", "rejects"]

# What the figures are of, and what a lower mean (-1) and a higher one (1) are called where they are for the worse.
_WORDS: Mapping[str, tuple[str, Mapping[int, str]]] = {
    "quantisation": ("mean squared distance to the nearest word", {1: "farther from the words"}),
    "reconstruction": ("share of a vector that the projection loses", {1: "stranger vectors"}),
    "confidence": ("mean probability of the answer", {-1: "less sure"}),
    "brightness": ("mean brightness", {-1: "darker", 1: "brighter"}),
    "blur": ("mean blur", {-1: "sharper", 1: "blurrier"}),
}


class Verdict(NamedTuple):
    """What is said of one window; ready for JSON.

    Attributes
    ----------
    score : the largest of `scores`; from 1 on the window alarms
    scores : of each statistic its value as a multiple of its threshold
    kind : str
        `none`; `inputs` when what the model is shown has changed; `mix` when the labels come in other shares and each looks as it did;
        `rejects` when the pictures that cannot be read are too many and nothing else has changed.
    symptoms : a line for each statistic that alarms, the strongest first
    """

    n_images: int
    n_rejects: int
    score: float
    scores: Mapping[str, float]
    kind: Kind
    symptoms: tuple[str, ...]


def complete(panel: Panel, *, n_images: int, n_rejects: int) -> bool:
    """Whether a window can be judged: with its last readable image, or before that when its rejects alone alarm."""
    return n_images == panel.n_images or n_rejects >= panel.thresholds["rejects"]


def judged(profile: Profile, panel: Panel, window: Observations | None, *, n_rejects: int) -> Verdict:
    """The verdict on a window of readable images and `n_rejects` others that came between them; None stands for no readable image.

    A window that closed early, by its rejects, is judged by these alone.

    Raises
    ------
    ValueError
        When the window is not complete, or larger than the panel is for.
    """
    n_images = 0 if window is None else len(window.quantisation)
    if not complete(panel, n_images=n_images, n_rejects=n_rejects) or n_images > panel.n_images:
        raise ValueError(f"a window of {n_images} images, the panel is for {panel.n_images}: calibrate one for windows of that size")
    values = {"rejects": float(n_rejects)}
    compared = against(profile, window) if window is not None and n_images == panel.n_images else None
    if compared is not None:
        values |= dict(zip(STATISTICS, compared.values[0].tolist(), strict=False))
    scores = {name: values[name] / panel.thresholds[name] for name in STATISTICS if name in values}
    alarms = sorted((name for name in scores if scores[name] >= 1), key=lambda name: -scores[name])
    symptoms = [_rejects(panel, n_images, n_rejects) if name == "rejects" else _symptom(name, profile, panel, compared) for name in alarms]
    return Verdict(n_images, n_rejects, max(scores.values()), scores, _kind(profile, panel, compared, alarms), tuple(symptoms))


def _kind(profile: Profile, panel: Panel, compared: Compared | None, alarms: Sequence[str]) -> Kind:
    """What the alarms have in common.

    Few labels are few groups, whose own peculiarities show. So what alarms beside the mix must alarm among windows of the same mix too.
    """
    told = set(alarms) - {"rejects"}
    if not told or compared is None:
        return "rejects" if alarms else "none"
    if told == {"mix"}:
        return "mix"
    panel_of_mix = calibrated(
        profile,
        n_images=panel.n_images,
        n_groups=panel.n_groups,
        rate=panel.rate,
        reject_rate=panel.reject_rate,
        permutations=panel.permutations,
        seed=panel.seed,
        mix=compared.labels[0],
    )
    values = dict(zip(STATISTICS, compared.values[0].tolist(), strict=False))
    return "inputs" if any(values[name] >= panel_of_mix.thresholds[name] for name in told - {"mix"}) else "mix"


def _symptom(name: str, profile: Profile, panel: Panel, compared: Compared | None) -> str:
    assert compared is not None, "no statistic but the rejects is measured without images"
    if name == "words":
        divergence = compared.values[0, STATISTICS.index("words")]
        usual = panel.thresholds[name]
        return f"other visual words than in training: Jensen–Shannon divergence {divergence:.2f} bits, usual is under {usual:.2f}"
    if name == "mix":
        return _mix(profile, compared)
    return _cast(panel, compared) if name == "cast" else _number(name, panel, compared)


def _number(name: str, panel: Panel, compared: Compared) -> str:
    """Of mean and spread the one that is farther from what is usual; the spread where the mean is none the worse."""
    place = SCALARS.index(name)
    mean, usual_mean = compared.mean[0, place], compared.usual_mean[0, place]
    spread, usual_spread = compared.spread[0, place], compared.usual_spread[0, place]
    of_mean, of_spread = panel.deviations[name]
    what, words = _WORDS[name]
    which = words.get(1 if mean > usual_mean else -1)
    if which and abs(mean - usual_mean) * of_spread >= abs(spread - usual_spread) * of_mean:
        return f"{which} than in training: {what} {_figures(mean, usual_mean, of_mean)}"
    which = "more" if spread > usual_spread else "less"
    return f"{name} varies {which} than in training: standard deviation {_figures(spread, usual_spread, of_spread)}"


def _figures(now: float, usual: float, deviation: float) -> str:
    """Both, with so many digits that the deviation has one that is not 0; two to six."""
    digits = min(max(2, math.ceil(-math.log10(deviation))), 6) if deviation else 2
    return f"{now:.{digits}f}, training {usual:.{digits}f} ± {deviation:.{digits}f}"


def _mix(profile: Profile, compared: Compared) -> str:
    """The answer whose share has changed most."""
    place = int(abs(compared.mix[0] - compared.usual_mix[0]).argmax())
    now, usual = compared.mix[0, place], compared.usual_mix[0, place]
    return f"another mix of labels than in training: {now:.0%} of the answers are {profile.classes[place]}, training {usual:.0%}"


def _cast(panel: Panel, compared: Compared) -> str:
    """The direction in which the light's colour has moved, and its two ratios."""
    red, blue = (SCALARS.index(name) for name in ("red", "blue"))
    by_red, by_blue = (compared.mean[0, place] - compared.usual_mean[0, place] for place in (red, blue))
    if abs(by_red - by_blue) >= abs(by_red + by_blue):
        which = "warmer" if by_red > by_blue else "colder"
    else:
        which = "pinker" if by_red + by_blue > 0 else "greener"
    told = []
    for name, place in (("red", red), ("blue", blue)):
        now, usual = math.exp(compared.mean[0, place]), math.exp(compared.usual_mean[0, place])
        told.append(f"{name} / green {_figures(now, usual, usual * panel.deviations[name][0])}")
    return f"{which} light than in training: {'; '.join(told)}"


def _rejects(panel: Panel, n_images: int, n_rejects: int) -> str:
    return f"{n_rejects:,} of {n_images + n_rejects:,} pictures cannot be read, declared are {100 * panel.reject_rate:g} %"
