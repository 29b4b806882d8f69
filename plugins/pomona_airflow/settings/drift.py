"""How new pictures are compared with those of training: the variables POMONA_DRIFT_…, as `deployment` reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pomona_airflow.settings import checks as check
from pomona_airflow.settings.checks import BadSetting, Read

if TYPE_CHECKING:
    from pomona.command import Drift

_MIXES = ("any", "training")


@dataclass(frozen=True)
class DriftSettings:
    """What the job `score` is told (see `command.Drift`), and whether an episode that begins starts a run of `retrain`."""

    window: int
    groups: int
    rate: float
    rejects: float
    mix: str
    retrain: bool

    @property
    def of_job(self) -> Drift:
        """What the job is told of it."""
        # As in `deployment`: the contract comes later into the containers' image.
        from pomona.command import Drift

        return Drift(self.window, self.groups, self.rate, self.rejects, self.mix)


def read_drift(read: Read) -> DriftSettings:
    """The settings that the variables describe.

    Raises
    ------
    BadSetting
        Names the variable, its value and what is allowed.
    """
    mix = read("POMONA_DRIFT_MIX") or "any"
    if mix not in _MIXES:
        raise BadSetting(f"POMONA_DRIFT_MIX={mix!r} is none of {' | '.join(_MIXES)}")
    return DriftSettings(
        window=check.number(read, "POMONA_DRIFT_WINDOW", 200, 0),
        groups=check.number(read, "POMONA_DRIFT_GROUPS", 10, 1),
        rate=_inner_share(read, "POMONA_DRIFT_RATE", "0.05"),
        rejects=_inner_share(read, "POMONA_DRIFT_REJECTS", "0.01"),
        mix=mix,
        retrain=check.truth("POMONA_DRIFT_RETRAIN", read("POMONA_DRIFT_RETRAIN")),
    )


def _inner_share(read: Read, variable: str, default: str) -> float:
    """A share above 0 and below 1: at either end no picture, or each, is drift."""
    value = check.share(variable, read(variable) or default)
    if not 0 < value < 1:
        raise BadSetting(f"{variable}={read(variable)!r} must be above 0 and below 1, like {default}")
    return value
