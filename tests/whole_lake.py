"""Whether a lake is whole: every manifest names what is there, and every table finds its rows in the parts that it names."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from pomona import snapshots
from pomona.lake import Lake, digest
from pomona.outcome import File


def faults(lake: Lake) -> list[str]:
    """What is wrong, a line each."""
    contents: dict[str, Counter[Any]] = {}

    def holds(path: str, key: Any, keys: list[str]) -> bool:
        if path not in contents:
            rows = lake.read_rows([File(path, "", 0, 0)], keys)
            contents[path] = Counter(zip(*(rows[name].to_pylist() for name in keys), strict=True))
        return contents[path][key] == 1

    found = []
    for run in lake.folders("runs"):
        manifests = {name[:-5]: lake.document(f"runs/{run}/manifests/{name}") or {} for name in lake.names(f"runs/{run}/manifests")}
        for stage, manifest in manifests.items():
            for name, told in manifest["datasets"].items():
                files = [File(**file) for file in told["files"]]
                found += [f"{run}: {file.path} of {name} is not there" for file in files if not lake.exists(file.path)]
                if told["digest"] != digest(files):
                    found.append(f"{run}: {name} has another digest than its files")
            for name, read in manifest.get("inputs", {}).items():
                writer = next(each for each in manifests.values() if name in each["datasets"])["datasets"][name]
                if read not in (writer["digest"], *writer.get("earlier", ())):
                    found.append(f"{run}: {stage} read a {name} that was never there")
        if "ingest" in manifests:
            roster = lake.read_rows(lake.files(run, "roster")).to_pylist()
            named = {file.name for file in lake.files(run, "images")}
            found += [f"{run}: {row['content']} is in no part" for row in roster if row["part"] not in named]
            found += [
                f"{run}: {row['part']} lacks {row['content']}"
                for row in roster
                if not holds(f"parts/images/{row['part']}", (row["content"],), ["content"])
            ]
        if "describe" in manifests:
            index = lake.read_rows([File(**manifests["describe"]["notes"]["index"])]).to_pylist()
            folder = f"parts/descriptors/{manifests['describe']['notes']['extractor']}"
            found += [
                f"{run}: {row['part']} lacks {row['content']} {row['copy']}"
                for row in index
                if not holds(f"{folder}/{row['part']}", (row["content"], row["copy"]), ["content", "copy"])
            ]
    for row in snapshots.latest(lake).placements.to_dict("records"):
        if not holds(f"parts/images/{row['part']}", (row["content"],), ["content"]):
            found.append(f"snapshot: {row['part']} lacks {row['content']}")
    return found


def misnamed(lake: Lake) -> list[str]:
    """Files of manifests whose bytes are not those that the manifest says."""
    entries = [
        File(**file)
        for run in lake.folders("runs")
        for name in lake.names(f"runs/{run}/manifests")
        for told in (lake.document(f"runs/{run}/manifests/{name}") or {})["datasets"].values()
        for file in told["files"]
    ]
    return [file.path for file in entries if hashlib.sha256(lake.get(file.path)).hexdigest() != file.sha256]
