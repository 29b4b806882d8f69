"""What a timeline says now, in a few sentences: who is champion, whether the last pictures look as in training, what to do. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from typing import Literal, NamedTuple

from pomona.monitoring import chronicle
from pomona.monitoring.chronicle import Episode
from pomona.monitoring.record import MEANS
from pomona.monitoring.timeline import Batch, Timeline, Window
from pomona.reigns import moment_words, version_words

Tone = Literal["good", "watch", "bad", "unknown"]

# What a person can do about an episode of this kind.
_REMEDIES = {
    "inputs": "`make queue` picks the pictures that are most worth a label: once people have labelled them, the next run learns from them",
    "mix": "each label still looks as it did: where the new mix is here to stay, label some of these pictures (`make queue`)",
    "rejects": "`scored.csv` of the run says of each picture why it cannot be read",
}
_LOOKED_BACK = 10


class Conclusion(NamedTuple):
    """The headline has no full stop, each other part is empty or whole sentences; commands stand between backticks."""

    tone: Tone
    headline: str
    champion: str
    pictures: str
    remedy: str

    @property
    def line(self) -> str:
        """All of it in one line of plain text."""
        parts = (f"{self.headline}.", self.champion, self.pictures, self.remedy)
        return " ".join(part for part in parts if part).replace("`", "")


def concluded(timeline: Timeline) -> Conclusion:
    """The conclusion of a timeline, also of an empty one."""
    champion, hold = _champion(timeline), timeline.hold
    tone, headline, pictures, remedy = _pictures(timeline)
    if hold:
        remedy = f"{remedy} Automatic promotion is held at version {hold.version}: `make release` ends that.".strip()
    return Conclusion(tone, headline, champion, pictures, remedy)


def means(kinds: Sequence[str]) -> str:
    """What these kinds of drift are, in words."""
    return ", and ".join(MEANS.get(kind, kind) for kind in kinds)


def _champion(timeline: Timeline) -> str:
    if not timeline.changes:
        return "No version is the champion yet."
    change = timeline.changes[-1]
    if change.version is None:
        return f"No version is the champion since {change.since}: the alias was taken away."
    before = version_words(change.before)
    how = {"promotion": "promoted", "rollback": f"put back in place of {before}", "by hand": "set by hand"}[change.kind]
    return f"Version {change.version} is the champion since {change.since}, {how}."


def _pictures(timeline: Timeline) -> tuple[Tone, str, str, str]:
    """Tone, headline, what is said of the pictures, and what to do."""
    version = timeline.champion
    if version is None:
        remedy = "`make rollback` puts one back." if timeline.changes else "`make run` makes the first one."
        return "unknown", "There is no champion", "", remedy
    if not timeline.batches:
        return _unwatched(timeline)
    last = timeline.batches[-1]
    if last.champion != version:
        told = f"The last ones, of {moment_words(last.at)}, were shown to version {last.champion}."
        headline = f"Version {version} has not been shown any picture without a label since it became the champion"
        return "unknown", headline, told, "`make score` asks it."
    own = [*takewhile(lambda batch: batch.champion == version, reversed(timeline.batches))][::-1]
    windows = [window for batch in own for window in batch.windows]
    if last.why or not windows:
        return _unjudged(last)
    return _judged(timeline, last, windows)


def _unwatched(timeline: Timeline) -> tuple[Tone, str, str, str]:
    if timeline.asked is None:
        remedy = "Put some into `unlabelled/` beside the landing zone, then `make score`."
        return "unknown", "No picture without a label has been shown to a champion yet", "", remedy
    told = f"{timeline.asked.n_pictures:,} pictures without a label have been shown to a champion."
    return "unknown", "Nobody has watched yet whether new pictures look as in training", told, "`make score` does when new ones are there."


def _unjudged(last: Batch) -> tuple[Tone, str, str, str]:
    if last.why:
        return "unknown", "Whether the last pictures look as in training cannot be said", f"{_sentence(last.why)}.", ""
    told = f"{last.n_waiting:,} pictures wait for their window to be full."
    return "unknown", "Too few pictures to say whether they look as in training", told, "They are judged once enough have come."


def _judged(timeline: Timeline, last: Batch, windows: Sequence[Window]) -> tuple[Tone, str, str, str]:
    if windows[-1].phase == "drift":
        return _drift(chronicle.episodes(timeline)[-1])
    recent = windows[-_LOOKED_BACK:]
    alarms = sum(window.alarms for window in recent)
    shown = f"({sum(window.n_images for window in recent):,} pictures, {_span(recent[0].at, recent[-1].at)})"
    told = f"Of the last {len(recent)} windows {shown} {alarms or 'none'} alarmed"
    if len(recent) == 1:
        told = f"The only window so far {shown} {'alarmed' if alarms else 'did not alarm'}"
    chance = f"; of usual ones {100 * last.rate:g} in 100 do" if alarms else ""
    if windows[-1].alarms:
        why = "; ".join(windows[-1].symptoms)
        one = f"The last window alarmed: {why}. " if why else ""
        remedy = "One alarm alone is no drift: the next windows decide."
        return "watch", "The last pictures look unusual, which may be chance", f"{one}{told}{chance}.", remedy
    return "good", "The last pictures look as in training", f"{told}{chance}.", "Nothing needs to be done."


def _drift(episode: Episode) -> tuple[Tone, str, str, str]:
    named = "; ".join(symptom.line for symptom in episode.symptoms[:2])
    n_more = len(episode.symptoms) - 2
    more = f"; and {n_more} more {'symptom' if n_more == 1 else 'symptoms'}" if n_more > 0 else ""
    told = f"Since {moment_words(episode.since)} {means(episode.kinds)}: {named}{more}."
    remedy = _sentence(_REMEDIES.get(episode.kinds[0], "")) if episode.kinds else ""
    return "bad", "Drift: the last pictures do not look as in training", told, f"{remedy}." if remedy else ""


def _span(first: datetime, last: datetime) -> str:
    days = sorted({first.date().isoformat(), last.date().isoformat()})
    return " to ".join(days)


def _sentence(text: str) -> str:
    """The text with a capital at its start and no full stop."""
    return (text[:1].upper() + text[1:]).rstrip(". ")
