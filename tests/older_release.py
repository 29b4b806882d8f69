"""A run's documents as an earlier release wrote them."""

from __future__ import annotations

from pomona.lake import Lake

# What the documents had before there were copies, calibration, spoiled pictures and the rules of the gate.
SAID = {"metrics": ("official", "group_safe", "validation"), "verdict": ("decision", "reason", "champion")}


def said_less(lake: Lake, run: str, stage: str, columns: dict[str, tuple[str, ...]] | None = None) -> None:
    """Makes the stage's datasets those of an earlier release: these columns are all that their documents have; () is no dataset at all."""
    manifest = lake.manifest(run, stage)
    for dataset, names in (columns or SAID).items():
        told = manifest["datasets"][dataset]
        told["schema"] = {name: told["schema"][name] for name in names}
        if not names:
            del manifest["datasets"][dataset]
        for file in told["files"]:
            document = lake.document(file["path"]) or {}
            lake.put_document(file["path"], {name: document[name] for name in names})
    lake.put_document(f"runs/{run}/manifests/{stage}.json", {**manifest, "code": "of an earlier release"})
