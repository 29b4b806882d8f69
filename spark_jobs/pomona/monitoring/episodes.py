"""From verdicts on windows to episodes of drift: N of M alarms begin one, calm ends it, a pause comes before the next. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Phase = Literal["calm", "drift", "pause"]


@dataclass(frozen=True)
class Rule:
    """When an episode begins and ends.

    Attributes
    ----------
    n_alarms, n_recent : an episode begins with the window that makes `n_alarms` alarms among the last `n_recent`
    calm_below : a window is calm when its score is under this, which is less than the score of an alarm, 1
    n_calm : so many calm windows in succession end the episode
    n_pause : for so many windows after its end none begins, whatever they say
    """

    n_alarms: int = 2
    n_recent: int = 3
    calm_below: float = 0.8
    n_calm: int = 3
    n_pause: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.n_alarms <= self.n_recent:
            raise ValueError(f"n_alarms={self.n_alarms} of n_recent={self.n_recent}: 1 to as many as there are recent windows")
        if not 0 < self.calm_below <= 1:
            raise ValueError(f"calm_below={self.calm_below}: more than 0 and at most 1, where alarms begin")
        if self.n_calm < 1 or self.n_pause < 0:
            raise ValueError(f"n_calm={self.n_calm}, n_pause={self.n_pause}: at least 1 and 0 windows")


class Watch(NamedTuple):
    """What must be known of the windows so far; `Watch(**watch._asdict())` after a round trip through JSON goes on where it was left.

    Attributes
    ----------
    alarms : whether each of the last windows alarmed, oldest first; at most `n_recent`
    n_calm : calm windows in succession, within an episode
    n_pause : windows of the pause still to come
    """

    phase: Phase = "calm"
    alarms: tuple[bool, ...] = ()
    n_calm: int = 0
    n_pause: int = 0


def watched(scores: Iterable[float], *, rule: Rule, watch: Watch | None = None) -> list[Watch]:
    """The watch after each window's score, one for each; `watch` is the last one of the windows before.

    An episode begins with a window whose phase is `drift` where the one before it had another. A new champion has a profile of its own,
    and begins with a new watch.
    """
    found, last = [], watch or Watch()
    for score in scores:
        last = _next(last, score, rule)
        found.append(last)
    return found


def _next(watch: Watch, score: float, rule: Rule) -> Watch:
    alarms = (*watch.alarms, score >= 1)[-rule.n_recent :]
    if watch.phase == "drift":
        n_calm = watch.n_calm + 1 if score < rule.calm_below else 0
        if n_calm < rule.n_calm:
            return Watch("drift", alarms, n_calm)
        # What alarmed within the episode is not evidence of another.
        return Watch("pause", (), 0, rule.n_pause) if rule.n_pause else Watch()
    if watch.n_pause > 1:
        return Watch("pause", alarms, 0, watch.n_pause - 1)
    if watch.phase == "pause":
        return Watch("calm", alarms)
    # Behind a pause the alarms may be enough already: an episode begins with one all the same.
    begins = alarms[-1] and sum(alarms) >= rule.n_alarms
    return Watch("drift" if begins else "calm", alarms)
