"""Labels that people give: CSV files dropped into `labels/`, read as one history in which the last word on an image counts.

A row names its image by content (SHA-256) or by path, and says label, annotator, time and note. Nothing is ever overwritten: a
mended label is a later row, and every file that was dropped stays.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import NamedTuple

from pomona.landing import Landing, Listed

CANNOT_TELL = "?"
COLUMNS = ("content", "path", "label", "annotator", "at", "note")
_CONTENT = re.compile("[0-9a-f]{64}")
# A label is the name of a folder elsewhere; control characters would break reports and CSVs.
_NO_LABEL = re.compile("[/\x00-\x1f\x7f\ud800-\udfff]")


class Annotation(NamedTuple):
    """What somebody said of an image: a label, or None for "cannot tell"; `content` is empty where only the path is known.

    `at` is UTC, ISO 8601, of one length, so that texts sort as times do. `file` and `line` say where it stands.
    """

    content: str
    path: str
    label: str | None
    annotator: str
    at: str
    note: str
    file: str
    line: int


class Spoiled(NamedTuple):
    """A row (or from a line on the rest of a file) that says nothing, and why."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class History:
    """All that was ever said, the oldest first; the rows that cannot be read; how many rows nobody has filled in."""

    annotations: tuple[Annotation, ...] = ()
    spoiled: tuple[Spoiled, ...] = ()
    n_unanswered: int = 0


@dataclass(frozen=True)
class Agreement:
    """How far two annotators agree on the images that both labelled.

    `kappa` is None where chance alone would agree always: both gave one label only, the same. `disagreements` are (content, label of
    the first, label of the second), sorted. Images that one of them cannot tell are not compared, only counted.
    """

    annotators: tuple[str, str]
    n_images: int
    n_untold: int
    agreed: float
    kappa: float | None
    disagreements: tuple[tuple[str, str, str], ...]


def files(folder: Landing) -> list[Listed]:
    """The CSV files below the folder, by path; none where there is no folder yet."""
    listed = folder.files() if folder.there() else []
    return [file for file in listed if file.path.lower().endswith(".csv") and not file.path.rpartition("/")[2].startswith(".")]


def gather(folder: Landing, listed: Sequence[Listed]) -> History:
    """What these files of the folder say."""
    read = []
    for file in listed:
        if file.fault:
            read.append(History(spoiled=(Spoiled(file.path, 0, file.fault),)))
            continue
        try:
            data = folder.read(file.path, file.size, file.version)
        except OSError as error:
            read.append(History(spoiled=(Spoiled(file.path, 0, f"cannot be read: {error.strerror or error}"),)))
            continue
        read.append(parse(file.path, data, modified=datetime.fromtimestamp(file.modified_s, UTC)))
    return joined(read)


def parse(file: str, data: bytes, *, modified: datetime) -> History:
    """The history of one CSV file, in the order of its rows.

    The header names the columns of `COLUMNS` in any order; `content` or `path`, and `label`, must be there, further columns are left
    alone. Commas, semicolons or tabs divide, as spreadsheets save them. The label `?` means "cannot tell". A row without a label is one of
    a queue that nobody has come to, with or without an annotator, whose name is soon filled in down to the last row: a list that was
    filled in by half must not take the other half out of training. Without annotator the file's name counts; without time it is as old as
    the file.
    Columns behind the label that a row leaves out are empty, but in a last line without an end, which may be cut off.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return History(spoiled=(Spoiled(file, 0, "the file is not UTF-8: save it as CSV UTF-8"),))
    header = text.partition("\n")[0]
    lines = io.StringIO(text, newline="")
    rows = csv.reader(lines, delimiter=max(",;\t", key=header.count), strict=True)
    found = _Found(file, modified)
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        if trouble := _unusable(names):
            return History(spoiled=(Spoiled(file, 1, trouble),))
        for fields in rows:
            is_whole = lines.tell() < len(text) or text.endswith(("\r", "\n"))
            found.add(names, [field.strip() for field in fields], rows.line_num, is_whole=is_whole)
    except csv.Error as error:
        found.spoiled.append(Spoiled(file, rows.line_num, f"from here on no CSV: {error}"))
    return History(tuple(found.annotations), tuple(found.spoiled), found.n_unanswered)


@dataclass
class _Found:
    """What the rows of one file said so far."""

    file: str
    modified: datetime
    annotations: list[Annotation] = field(default_factory=list)
    spoiled: list[Spoiled] = field(default_factory=list)
    n_unanswered: int = 0

    def add(self, names: Sequence[str], fields: Sequence[str], line: int, *, is_whole: bool) -> None:
        if not any(fields):
            return
        if is_whole and names.index("label") < len(fields) < len(names):
            # Excel writes sixteen rows at a time, and no last column that is empty in all of them.
            fields = [*fields, *[""] * (len(names) - len(fields))]
        if len(fields) != len(names):
            self.spoiled.append(Spoiled(self.file, line, f"{len(fields)} fields under {len(names)} names"))
            return
        row = dict(zip(names, fields, strict=True))
        if not row["label"]:
            self.n_unanswered += 1
            return
        try:
            self.annotations.append(_annotation(row, self.file, line, self.modified))
        except ValueError as reason:
            self.spoiled.append(Spoiled(self.file, line, str(reason)))


def joined(read: Iterable[History]) -> History:
    """Several files' histories as one: by time, of equal times by file name and line; what was saved twice stands once."""
    histories = list(read)
    ordered = sorted((said for history in histories for said in history.annotations), key=_age)
    # The last of equal rows stays: it may have to win against another of the same time.
    once = {said._replace(file="", line=0): said for said in ordered}
    spoiled = sorted(row for history in histories for row in history.spoiled)
    return History(tuple(sorted(once.values(), key=_age)), tuple(spoiled), sum(history.n_unanswered for history in histories))


def resolved(history: History, contents: Mapping[str, str]) -> tuple[list[Annotation], list[Spoiled]]:
    """The annotations in the history's order, all with their content, and those of paths that nobody knows.

    Parameters
    ----------
    contents : path → content, for rows that name their image by path alone
    """
    known, unknown = [], []
    for said in history.annotations:
        content = said.content or contents.get(said.path, "")
        if content:
            known.append(said._replace(content=content))
        else:
            unknown.append(Spoiled(said.file, said.line, f"no image lies at {said.path!r}"))
    return known, unknown


def standing(annotations: Iterable[Annotation]) -> dict[str, Annotation]:
    """The last annotation of each content, by content; they come in the history's order."""
    return {said.content: said for said in annotations}


def agreements(annotations: Sequence[Annotation]) -> list[Agreement]:
    """How far each two annotators agree, by their names; pairs without an image that both labelled are not in it.

    Each is taken at the last word on an image. Cohen's kappa (1960) is (p_o - p_e) / (1 - p_e), where p_o is the share of equal
    labels and p_e what chance would give two people with these shares of each label.
    """
    said: dict[str, dict[str, str | None]] = defaultdict(dict)
    for annotation in annotations:
        said[annotation.annotator][annotation.content] = annotation.label
    found = (_agreement(one, said[one], other, said[other]) for one, other in combinations(sorted(said), 2))
    return [agreement for agreement in found if agreement.n_images]


def _agreement(one: str, labels: Mapping[str, str | None], other: str, others: Mapping[str, str | None]) -> Agreement:
    both = sorted(labels.keys() & others.keys())
    compared = [(content, first, second) for content in both if (first := labels[content]) and (second := others[content])]
    n = len(compared)
    differ = tuple(entry for entry in compared if entry[1] != entry[2])
    agreed = 1 - len(differ) / n if n else 0.0
    shares, other_shares = Counter(first for _, first, _ in compared), Counter(second for _, _, second in compared)
    # Whole numbers, so that "always by chance" is told exactly.
    by_chance = sum(shares[label] * other_shares[label] for label in shares)
    kappa = None if by_chance == n * n else (n * (n - len(differ)) - by_chance) / (n * n - by_chance)
    return Agreement((one, other), n, len(both) - n, agreed, kappa, differ)


def _age(said: Annotation) -> tuple[str, str, int]:
    return said.at, said.file, said.line


def _unusable(names: Sequence[str]) -> str:
    """Why the header names no annotations; empty when it does."""
    if "label" not in names or not {"content", "path"} & set(names):
        return f"the first line names {', '.join(filter(None, names)) or 'nothing'}: it must name label, and content or path"
    twice = [name for name, n in Counter(names).items() if n > 1 and name in COLUMNS]
    return f"the first line names {twice[0]} twice" if twice else ""


def _annotation(row: Mapping[str, str], file: str, line: int, modified: datetime) -> Annotation:
    """The row's annotation; a ValueError says why it is none."""
    content, path = row.get("content", "").lower(), row.get("path", "")
    if content and not _CONTENT.fullmatch(content):
        raise ValueError(f"content {content[:70]!r} is no SHA-256 (64 hexadecimal digits)")
    if not content and not path:
        raise ValueError("neither content nor path")
    label = None if row["label"] == CANNOT_TELL else row["label"]
    if label and (_NO_LABEL.search(label) or label in (".", "..")):
        raise ValueError(f"label {label[:70]!r} cannot be a folder's name")
    annotator = row.get("annotator") or file.rpartition("/")[2].rpartition(".")[0]
    return Annotation(content, path, label, annotator, _utc(row.get("at", ""), modified), row.get("note", ""), file, line)


def _utc(text: str, modified: datetime) -> str:
    try:
        at = datetime.fromisoformat(text) if text else modified
        return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise ValueError(f"at {text[:70]!r} is no ISO 8601 time") from None
