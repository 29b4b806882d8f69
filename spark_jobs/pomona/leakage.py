"""Where a file belongs (label, split, group), and which images a run may use: copies, conflicts and leaks between train and test taken out.

Names are taken as they are: no Unicode normalisation, no change of case, so that a path here is the path in the landing zone.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pomona.datasets import DATASETS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NO_LABEL = "no label folder"
OUTSIDE = "outside Training and Test"

_IGNORED_SUFFIXES = (".csv", ".json", ".txt")
_IGNORED_NAMES = frozenset({"__macosx", "thumbs.db"})
_SPLIT_WORD = re.compile(r"(?:(?P<train>train(?:ing)?|val(?:id(?:ation)?)?)|test(?:ing|s)?)(?![^\W\d_])", re.IGNORECASE)
_TEST_EVERY = 5
_LINKED_SHARE = 0.1


class Misplaced(ValueError):
    """A file stands where it has no label; the text is the reason in a few words."""


class Placement(NamedTuple):
    """What a path says about its image; `split` and `group` are None where the path does not say."""

    label: str
    split: str | None
    group: str | None

    def completed(self, content: str) -> Placement:
        """The placement with group and split filled in: an image without a group is one by itself, named by its content.

        The name has no label in it, so that an image keeps its side when somebody relabels it.
        """
        if self.split is not None and self.group is not None:
            return self
        group = content if self.group is None else self.group
        return Placement(self.label, self.split or split_of_group(group), group)


def is_ignored(path: str) -> bool:
    """Whether a name says that this is no image: dotfile, `.csv`, `.json`, `.txt`, `Thumbs.db`, anything in a dot folder or `__MACOSX`."""
    parts = path.lower().split("/")
    return parts[-1].endswith(_IGNORED_SUFFIXES) or any(part.startswith(".") or part in _IGNORED_NAMES for part in parts)


def split_folders(paths: Iterable[str]) -> dict[str, str]:
    """The top folders of a listing that name a split, each with `train` or `test`; empty when the listing has none.

    `Training`, `Train`, `Val*` are train and `Test*` is test, in any case. A folder that only begins like one (`Testset`, `Valencia`)
    counts when another folder is plainly a split (`Training`, `val`, `test_2`); otherwise it is a label, so that a landing zone of
    `Lemon` and `Valencia` does not lose its lemons. Once there is a split folder, what stands beside it is rejected by `place`: a
    guess at its side would put test images into train.
    """
    folders = {path.split("/", 1)[0] for path in paths if "/" in path and not is_ignored(path)}
    plain = {folder: match for folder in folders if (match := _SPLIT_WORD.match(folder))}
    if not plain:
        return {}
    found = {folder: "train" if match["train"] else "test" for folder, match in plain.items()}
    for folder in folders - set(found):
        if folder.lower().startswith("val"):
            found[folder] = "train"
        elif folder.lower().startswith("test"):
            found[folder] = "test"
    return found


def place(path: str, *, group_pattern: str, splits: dict[str, str]) -> Placement:
    """Label, split and group of one path below the landing folder.

    The label is the first folder below the split, or the first folder where `splits` (of `split_folders`) is empty. The group is named
    after the label and

    - the deeper folders, when there are any: they alone, whatever the file is called, because a variety is coarser than a video
      inside it and so the more honest unit;
    - else the part `group` of `group_pattern`, when the file name matches; a part that took no part in the match is an empty name,
      still one group for its label (`Banana/`);
    - else nothing: `group` is None, and `Placement.completed` makes the image a group of its own.

    Raises
    ------
    Misplaced
        When the file has no label folder, or stands beside the split folders instead of in one.
    """
    *folders, name = path.split("/")
    split = None
    if splits:
        if not folders:
            raise Misplaced(NO_LABEL)
        split = splits.get(folders[0])
        if split is None:
            raise Misplaced(OUTSIDE)
        folders = folders[1:]
    # In a bucket `landing//1.jpg` is a name too, and an empty label would say that nobody could tell.
    if not folders or not folders[0]:
        raise Misplaced(NO_LABEL)
    label, *deeper = folders
    group = _group(label, deeper, name, group_pattern)
    # Of a name that ten thousand pictures share one text is held.
    return Placement(sys.intern(label), split, group and sys.intern(group))


def _group(label: str, deeper: Sequence[str], name: str, pattern: str) -> str | None:
    if deeper:
        return "/".join([label, *deeper])
    match = re.search(pattern, name) if pattern else None
    return None if match is None else f"{label}/{match['group'] or ''}"


def split_of_group(group: str) -> str:
    """`train` or `test` by a hash of the group's name: about one group in five is test, on every machine and for ever."""
    digest = hashlib.sha256(group.encode("utf-8", "surrogatepass")).digest()
    return "train" if int.from_bytes(digest[:8], "big") % _TEST_EVERY else "test"


class Leak(NamedTuple):
    """A content on both sides of the split: its test path stays, its train paths are out."""

    content: str
    test_path: str
    train_paths: tuple[str, ...]


class Conflict(NamedTuple):
    """A content under several labels, all of them out: (label, path) pairs, sorted."""

    content: str
    paths: tuple[tuple[str, str], ...]


class Selection(NamedTuple):
    """The images that a run may use, and what was left out.

    `counts` adds up: present = kept + duplicate + conflict + unselected, kept = train + test; `leaked` are the duplicates that stood in
    train while the content is in test, `gone` is not in `present`. `shared_groups` have images on both sides. `linked_groups` are
    (test group, train group) pairs with identical bytes in both where the train group still has other images in train: frames of
    one video under two names, so the test group is not safe either.
    """

    roster: pa.Table
    counts: dict[str, int]
    leaked: list[Leak]
    conflicts: list[Conflict]
    shared_groups: list[str]
    linked_groups: list[tuple[str, str]]


class UnknownLabel(ValueError):
    """The knob `labels` asks for a label that no image has."""


def select(placements: pa.Table, *, labels: Sequence[str]) -> Selection:
    """The run's roster, sorted by content, with everything that was left out counted and named.

    With `labels`, the result is that of a landing zone holding these labels alone. Identical bytes under two labels: every copy is out. A
    content on both sides is test, and its train copies are out. Of other copies the first path stays.

    Parameters
    ----------
    placements : table with the columns of `placements`, one row per path; may be empty
    labels : labels to keep; empty keeps all

    Raises
    ------
    UnknownLabel
        When one of `labels` has no image; the text names it and those that there are.
    """
    import pyarrow.compute as pc

    columns = [column.name for column in DATASETS["roster"].columns]
    listed = placements.filter(pc.is_null(placements["gone_since"])).select(columns).sort_by("path")
    present = _numbered(listed)
    chosen = _chosen(present, labels)
    clash = _clashes(chosen)
    rest = chosen[~clash].sort_values("split", key=lambda split: split != "test", kind="stable")
    copy = rest.duplicated("content")
    kept, copies = rest[~copy], rest[copy]
    side = kept.set_index("content")["split"]
    leaked = copies[(copies["split"] == "train") & (copies["content"].map(side) == "test")]
    shared = set(kept.loc[kept["split"] == "test", "group"]) & set(kept.loc[kept["split"] == "train", "group"])
    counts = {
        "present": len(present),
        "unselected": len(present) - len(chosen),
        "conflict": int(clash.sum()),
        "duplicate": len(copies),
        "leaked": len(leaked),
        "kept": len(kept),
        "train": int((kept["split"] == "train").sum()),
        "test": int((kept["split"] == "test").sum()),
        "labels": int(kept["label"].nunique()),
        "groups": int(kept["group"].nunique()),
        "gone": placements.num_rows - len(present),
    }
    places = kept.index.to_numpy()
    roster = listed.take(places[pc.sort_indices(listed["content"].take(places)).to_numpy()])
    of_leaked, leaked, clashing = (_named(listed, rows) for rows in (kept[kept["content"].isin(leaked["content"])], leaked, chosen[clash]))
    still_in_train = {*kept.loc[kept["split"] == "train", "group"]}
    linked = _linked(of_leaked, leaked, still_in_train)
    return Selection(roster, counts, _leaks(of_leaked, leaked), _conflicts(clashing), sorted(shared), linked)


def images_per_label(roster: pa.Table) -> dict[str, dict[str, int]]:
    """Label → {"train": n, "test": n}, sorted by label."""
    table = roster.select(["label", "split"]).to_pandas().value_counts()
    found: dict[str, dict[str, int]] = {}
    for (label, split), n in sorted(table.items()):
        found.setdefault(label, {"train": 0, "test": 0})[split] = int(n)
    return found


def unsafe_groups(train_groups: Collection[str], linked_groups: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The groups whose test images are too close to training images: those in train, and those linked to them by copies."""
    return frozenset(train_groups) | {test for test, _ in linked_groups}


def training_copies(placements: pa.Table, test: Mapping[str, str]) -> dict[str, list[str]]:
    """The training copies of each test image that `select` left out: content → sorted paths; images without any are not in it.

    Parameters
    ----------
    placements : path, content, label, split, gone_since
    test : content → label of the run's test images
    """
    import pyarrow.compute as pc

    in_train = placements.filter(pc.and_(pc.is_null(placements["gone_since"]), pc.equal(placements["split"], "train")))
    found: dict[str, list[str]] = {}
    columns = (in_train[name].to_pylist() for name in ("content", "path", "label"))
    for content, path, label in sorted(zip(*columns, strict=True)):
        if test.get(content) == label:
            found.setdefault(content, []).append(path)
    return found


def linked_by_near_copies(near: Iterable[tuple[str, str]], test_sizes: Mapping[str, int]) -> list[tuple[str, str]]:
    """The (test group, train group) pairs that look like one video under two names: a tenth of the test group is nearly in the other.

    On Fruits-360, frames of one video on both sides give 17 to 82 % of the test group (21 videos); between videos of different
    fruits it is 5 % at most (16 varieties), which is chance.

    Parameters
    ----------
    near : for each test image with a near copy in train, its group and that of the copy
    test_sizes : group → test images
    """
    found = Counter(near)
    return sorted((test, train) for (test, train), n in found.items() if test != train and n >= _LINKED_SHARE * test_sizes[test])


def _chosen(present: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    if not labels:
        return present
    known = set(present["label"])
    unknown = sorted(set(labels) - known)
    if unknown:
        raise UnknownLabel(
            f"labels={','.join(labels)}: no image is labelled {unknown[0]!r}; there are {', '.join(sorted(known)) or 'none'}"
        )
    return present[present["label"].isin(list(labels))]


def _numbered(listed: pa.Table) -> pd.DataFrame:
    """The rows by their place in the table: the content as a number, label, split and group as categories, not a text for each row."""
    import pandas as pd

    numbers = listed["content"].combine_chunks().dictionary_encode().indices.to_numpy()
    return pd.DataFrame({"content": numbers, **{name: listed[name].to_pandas().astype("category") for name in ("label", "split", "group")}})


def _named(listed: pa.Table, rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows as texts, with their paths."""
    named: pd.DataFrame = listed.take(rows.index.to_numpy()).to_pandas()
    return named


def _clashes(rows: pd.DataFrame) -> pd.Series[bool]:
    """Per row, whether its content stands under more than one label."""
    by_content = rows["label"].cat.codes.groupby(rows["content"])
    return by_content.transform("min") != by_content.transform("max")


def _leaks(kept: pd.DataFrame, leaked: pd.DataFrame) -> list[Leak]:
    test_path, trains = dict(zip(kept["content"], kept["path"], strict=True)), defaultdict(list)
    for content, path in zip(leaked["content"], leaked["path"], strict=True):
        trains[content].append(path)
    return [Leak(content, test_path[content], tuple(trains[content])) for content in sorted(trains)]


def _linked(kept: pd.DataFrame, leaked: pd.DataFrame, still_in_train: Collection[str]) -> list[tuple[str, str]]:
    test_group = dict(zip(kept["content"], kept["group"], strict=True))
    pairs = {(test_group[content], group) for content, group in zip(leaked["content"], leaked["group"], strict=True)}
    return sorted((test, train) for test, train in pairs if train in still_in_train and test != train)


def _conflicts(rows: pd.DataFrame) -> list[Conflict]:
    found: dict[str, list[tuple[str, str]]] = {}
    for content, label, path in zip(rows["content"], rows["label"], rows["path"], strict=True):
        found.setdefault(content, []).append((label, path))
    return [Conflict(content, tuple(sorted(found[content]))) for content in sorted(found)]
