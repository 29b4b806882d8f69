"""What people said, put into effect: labels of placements replaced, images beside the landing zone taken in for training."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pyarrow as pa

from pomona import scored, snapshots
from pomona.care import forgotten
from pomona.command import Place
from pomona.formats import arrow_schema
from pomona.labels.annotations import Annotation, History, Spoiled, agreements, files, gather, resolved, standing
from pomona.lake import Lake
from pomona.landing import Landing, Listed
from pomona.leakage import Placement
from pomona.s3 import S3
from pomona.snapshots import State

if TYPE_CHECKING:
    from pomona.snapshots import Snapshot

# No path below the landing zone begins so, and seen from there it is where the images lie by default.
BESIDE = "../unlabelled/"
_SHOWN = 200


@dataclass(frozen=True)
class Zone:
    """The landing zone, and beside it the folder of images that came without a label; files are read by the path of their placement."""

    landing: Landing
    unlabelled: Landing

    def read(self, path: str, size: int, version: str) -> bytes:
        """The file's bytes, as `Landing.read` gives them."""
        if path.startswith(BESIDE):
            return self.unlabelled.read(path.removeprefix(BESIDE), size, version)
        return self.landing.read(path, size, version)


class Found(NamedTuple):
    """What a run may take in: listed files and their places as `snapshots.locate` gives them, and all that people said of images.

    `listed` has the files of the landing zone, and those beside it that somebody has labelled; `labels` the states of the CSVs.
    """

    zone: Zone
    listed: list[Listed]
    places: dict[str, Placement]
    ignored: list[str]
    history: History
    labels: tuple[State, ...]


class Labelled(NamedTuple):
    """A snapshot with the labels that count, and how it came to them.

    `snapshot` has the present placements with the last word on each, less those that have none ("cannot tell"). `used` is what is in force,
    by content; `rows` the dataset `annotations`; `unknown` the rows of images that are not there.
    """

    snapshot: Snapshot
    used: dict[str, Annotation]
    rows: pa.Table
    unknown: list[Spoiled]
    n_untold: int


def find(place: Place, *, group_pattern: str) -> Found:
    """What lies in the landing zone, and beside it what is labelled; nothing is opened but the CSVs of the labels.

    Raises
    ------
    BadInput
        When a place is missing that must be there, or cannot be read.
    """
    settings = S3.parse(place.s3)
    zone = Zone(Landing(place.landing, settings), Landing(place.unlabelled, settings))
    listed, places, ignored = snapshots.locate(zone.landing.files(), group_pattern=group_pattern)
    labels = Landing(place.annotations, settings)
    csvs = files(labels) if place.annotations else []
    lake = Lake(place.lake, place.name, settings)
    history = without(gather(labels, csvs), forgotten.contents(lake))
    waiting: dict[str, Listed] = {}
    contents: dict[str, str] = {}
    if history.annotations and place.unlabelled:
        waiting = {file.path: file for file in scored.listed(zone.unlabelled)}
        contents = _contents(lake, waiting.values())
    history = placed(history, {file.path for file in listed}, waiting, contents)
    for path in sorted(worded(history) & {f"{BESIDE}{name}" for name in waiting}):
        listed.append(replace(waiting[path.removeprefix(BESIDE)], path=path))
        places[path] = beside(path)
    return Found(zone, listed, places, ignored, history, tuple((file.path, file.size, file.version) for file in csvs))


def without(history: History, contents: Collection[str]) -> History:
    """The history without what was said of these contents: the CSVs stay, and who reads them tells nothing of a forgotten image."""
    return replace(history, annotations=tuple(said for said in history.annotations if said.content not in contents))


def _contents(lake: Lake, waiting: Iterable[Listed]) -> dict[str, str]:
    """Path → content of the files beside the landing zone that a champion was asked about, less what lies in the landing zone too."""
    present = snapshots.latest(lake).present
    landed = set(present["content"][~present["path"].str.startswith(BESIDE)])
    rows = scored.latest(lake).rows.merge(snapshots.readable([*waiting]), on=snapshots.KEY).sort_values("path", ascending=False)
    told = zip(rows["path"], rows["content"], strict=True)
    return {path: content for path, content in told if content and content not in landed}


def placed(history: History, landed: Collection[str], waiting: Collection[str], contents: Mapping[str, str] | None = None) -> History:
    """The history with paths as placements have them: below the landing zone, or `../unlabelled/…`.

    A row may name an image beside the landing zone with or without the folder's name, or by its content alone where `contents` (path →
    content) has it.
    """
    lying = {content: path for path, content in (contents or {}).items()}

    def path_of(said: Annotation) -> str:
        below = said.path.removeprefix("../").removeprefix("unlabelled/")
        if said.path in landed:
            return said.path
        return next((f"{BESIDE}{name}" for name in (below, said.path, lying.get(said.content)) if name in waiting), said.path)

    return replace(history, annotations=tuple(said._replace(path=path_of(said)) for said in history.annotations))


def worded(history: History) -> set[str]:
    """The paths beside the landing zone whose last word is a label."""
    last = {said.path: said for said in history.annotations if said.path.startswith(BESIDE)}
    return {path for path, said in last.items() if said.label}


def beside(path: str) -> Placement:
    """The place of an image that came without a label: always train, its group the folder below `unlabelled/` that it lies in.

    Whoever chose it asked what the model was unsure of: a test set of such images would be no fair one.
    """
    folder = path.removeprefix(BESIDE).rpartition("/")[0]
    return Placement("", "train", f"unlabelled/{folder}" if folder else None)


def effected(snapshot: Snapshot, history: History) -> Labelled:
    """The snapshot with what people said in force; their history may be empty."""
    present, gone = snapshot.present, snapshot.placements[snapshot.placements["gone_since"].notna()]
    if not history.annotations and present["label"].ne("").all():
        return Labelled(snapshot, {}, _rows((), {}, present), [], 0)
    contents = dict(zip(present["path"], present["content"], strict=True))
    known, unknown = resolved(history, contents)
    here = set(present["content"])
    used = standing(said for said in known if said.content in here)
    # Of an image that nobody could label and that was not taken in there is nothing to tell.
    untold = {(said.file, said.line) for said in history.annotations if said.label is None}
    unknown = [row for row in unknown if (row.file, row.line) not in untold]
    unknown += [Spoiled(said.file, said.line, _not_here(said)) for said in known if said.content not in here and said.label]
    # The label of a file beside the landing zone is an empty one until somebody gives it.
    given = zip(present["content"], present["label"], strict=True)
    spelt = _spelling(present["label"])
    labels = [spelt(used[content].label) if content in used else label or None for content, label in given]
    told = pd.Series([label is not None for label in labels], index=present.index, dtype=bool)
    effective = present.assign(label=pd.Series(labels, index=present.index, dtype=object))[told]
    placements = pd.concat([effective, gone]).sort_values("path", ignore_index=True)
    return Labelled(replace(snapshot, placements=placements), used, _rows(known, used, present), sorted(unknown), int((~told).sum()))


def _spelling(folders: Iterable[str]) -> Callable[[str | None], str | None]:
    """Gives a label as its folder spells it: one from a Mac has accents as characters of their own, and nobody types them so."""
    there = set(folders)
    own = {unicodedata.normalize("NFC", label): label for label in sorted(there)}
    return lambda label: label if label is None or label in there else own.get(unicodedata.normalize("NFC", label), label)


def counted(found: Labelled, roster: pa.Table, folders: Mapping[str, str]) -> dict[str, int]:
    """How many images of the roster are `relabelled` (otherwise than their folder) and `added` (from beside the landing zone).

    Parameters
    ----------
    folders : path → label of its folder
    """
    import pyarrow.compute as pc

    is_beside = pc.starts_with(roster["path"], BESIDE)
    said = pc.is_in(roster["content"], pa.array(found.used, pa.string()))
    rows = roster.filter(pc.and_not(said, is_beside))
    relabelled = sum(folders[path] != label for path, label in zip(*(rows[name].to_pylist() for name in ("path", "label")), strict=True))
    return {"relabelled": relabelled, "added": pc.sum(is_beside).as_py() or 0, "untold": found.n_untold}


def notes(found: Labelled, history: History) -> dict[str, Any]:
    """What summary and report tell of the labels: by whom, what could not be read, how far annotators agree."""
    spoiled = [*history.spoiled, *found.unknown]
    said = [row for row in found.rows.to_pylist() if row["content"]]
    pairs = agreements([Annotation(**{name: row[name] for name in Annotation._fields}) for row in said])
    return {
        "by": dict(sorted(Counter(row.annotator for row in found.used.values()).items())),
        "n_annotations": found.rows.num_rows,
        "n_unanswered": history.n_unanswered,
        "n_spoiled": len(spoiled),
        "spoiled": [[f"{row.file}:{row.line}" if row.line else row.file, row.reason] for row in spoiled[:_SHOWN]],
        "agreements": [
            {
                "annotators": list(pair.annotators),
                "n_images": pair.n_images,
                "n_untold": pair.n_untold,
                "agreed": pair.agreed,
                "kappa": pair.kappa,
                "n_disagreements": len(pair.disagreements),
                "disagreements": [list(row) for row in pair.disagreements[:_SHOWN]],
            }
            for pair in pairs
        ],
    }


def faults(told: Mapping[str, Any]) -> str:
    """What of `notes` must be said though the run tells nothing new: how many rows or files say nothing, and the first; empty for none."""
    n = told["n_spoiled"]
    return f"labels/ has {n:,} {'fault' if n == 1 else 'faults'}, first {': '.join(told['spoiled'][0])}" if n else ""


def _not_here(said: Annotation) -> str:
    remedy = "; an image of unlabelled/ that no champion was asked about is named by its path"
    return f"no image of the run has this content{f'; it was at {said.path!r}' if said.path else remedy}"


def _rows(known: Sequence[Annotation], used: Mapping[str, Annotation], present: pd.DataFrame) -> pa.Table:
    folders = dict(zip(present["content"], present["label"], strict=True)) if known else {}
    rows = []
    for said in known:
        stands, folder = used.get(said.content) == said, folders.get(said.content) or None
        rows.append({**said._asdict(), "standing": stands, "folder_label": folder})
    return pa.Table.from_pylist(rows, schema=arrow_schema("annotations"))
