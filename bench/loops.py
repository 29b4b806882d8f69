"""Runs a plain loop (bench/plain) in a process of its own, and has its orders made from what a run of the DAG left in the lake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.measure import Held
from bench.stand import PROJECT
from pomona.lake import Lake
from pomona.vision.describe import HISTOGRAM_BINS

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
# As in pomona.vision.validate: a fold's vocabulary is a lighter one.
_FOLD_SAMPLE, _FOLD_ITERATIONS = 32_000, 8


class Loop(NamedTuple):
    """What a plain loop found, and what it used."""

    found: Mapping[str, Any]
    cpu_s: float
    seconds: float


def plain(name: str, order: Mapping[str, Any], *, threads: int = 1, held: Held = list) -> Loop:
    """Runs bench/plain/<name>.py with the order.

    Raises
    ------
    RuntimeError
        With the last line of what it said, when it fails.
    """
    return own_process(f"bench.plain.{name}", order, threads=threads, held=held)


def own_process(module: str, order: Mapping[str, Any], *, threads: int = 1, held: Held = list) -> Loop:
    """Runs a module that prints a line of JSON as `bench.plain.clock` does; with 0 threads nobody limits their number."""
    limits = dict.fromkeys(_THREADS, str(threads)) if threads else {}
    command = held([sys.executable, "-m", module, json.dumps(order)])
    done = subprocess.run(command, cwd=PROJECT, env={**os.environ, **limits}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {(done.stderr.strip() or 'no output').splitlines()[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Loop(found, found["cpu_s"], found["seconds"])


class Orders:
    """The orders that make the plain loops do what one run of the chain did, from the same files; their own output goes to `folder`."""

    def __init__(self, lake: Lake, run: str, landing: Path, knobs: Mapping[str, Any], folder: Path) -> None:
        self._lake, self._run, self._landing, self._knobs, self._folder = lake, run, landing, knobs, folder
        folder.mkdir(parents=True, exist_ok=True)

    def ingest(self, files: Iterable[Path]) -> dict[str, Any]:
        return {"listing": self.listing("landing", files), "target": str(self._folder / "ingest")}

    def describe(self) -> dict[str, Any]:
        return {"listing": self.listing("kept", self.pictures("path")), "target": str(self._folder / "describe"), **self._extractor()}

    def learn_vocabulary(self) -> dict[str, Any]:
        """The share is that of our draw: what was sampled of all training descriptors."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        roster = self._lake.read_rows(self._lake.files(self._run, "roster"), ["content", "split"])
        train = self._folder / "train.parquet"
        pq.write_table(roster.filter(pc.equal(roster["split"], "train")), train)
        index = pq.read_table(self._lake.location(self._lake.manifest(self._run, "describe")["notes"]["index"]["path"]))
        known = index.filter(pc.is_in(index["content"], roster.filter(pc.equal(roster["split"], "train"))["content"]))
        wanted = self._knobs["n_words"] * self._knobs["descriptors_per_word"]
        return {
            "descriptors": self._files("descriptors"),
            "train": str(train),
            "share": min(1.0, wanted / max(1, pc.sum(known["n_keypoints"]).as_py())),
            "iterations": self._knobs["kmeans_iterations"],
            "target": str(self._folder / "words.npy"),
            **self._of("n_words", "seed", "colour_weight"),
        }

    def lloyd(self) -> dict[str, Any]:
        return {**self.learn_vocabulary(), "words": self.words()}

    def encode(self) -> dict[str, Any]:
        return {
            "descriptors": self._files("descriptors"),
            "roster": self._files("roster")[0],
            "words": self.words(),
            "target": str(self._folder / "encode"),
            **self._of("n_components", "projection_images", "seed", "colour_weight", "histogram_weight", "near_distance"),
        }

    def train(self) -> dict[str, Any]:
        names = ("regularisation", "max_iterations", "folds", "fold_images", "n_words", "n_components", "projection_images", "seed")
        return {
            "features": self._files("features"),
            "descriptors": self._files("descriptors"),
            "fold_sample": _FOLD_SAMPLE,
            "fold_iterations": _FOLD_ITERATIONS,
            "target": str(self._folder / "model.npz"),
            **self._of(*names, "colour_weight", "histogram_weight", "resamples"),
        }

    def evaluate(self, pictures: Iterable[Path]) -> dict[str, Any]:
        return {**self.answer(self.listing("spoiled", pictures)), "features": self._files("features"), **self._of("resamples")}

    def answer(self, listing: str) -> dict[str, Any]:
        return {
            "listing": listing,
            "words": self.words(),
            "encoder": self._files("encoder")[0],
            "model": self._files("model")[0],
            **self._of("colour_weight", "histogram_weight"),
            **self._extractor(),
        }

    def listing(self, name: str, paths: Iterable[Path]) -> str:
        file = self._folder / f"{name}.paths"
        file.write_text("\n".join(map(str, paths)))
        return str(file)

    def pictures(self, column: str, split: str = "") -> list[Path]:
        """The pictures of the run's roster, of one split or of both."""
        roster = self._lake.read_rows(self._lake.files(self._run, "roster"), [column, "split"]).to_pylist()
        return [self._landing / row[column] for row in roster if split in ("", row["split"])]

    def words(self) -> str:
        """The run's own words as an .npy file."""
        file = self._folder / "our-words.npy"
        np.save(file, self._lake.read_arrays(self._lake.files(self._run, "vocabulary")[0])["words"])
        return str(file)

    def _extractor(self) -> dict[str, Any]:
        return {**self._of("side_px", "max_keypoints", "contrast_threshold", "edge_threshold"), "bins": list(HISTOGRAM_BINS)}

    def _of(self, *names: str) -> dict[str, Any]:
        return {name: self._knobs[name] for name in names}

    def _files(self, dataset: str) -> list[str]:
        files = [file.path for file in self._lake.files(self._run, dataset) if not file.path.endswith(".csv")]
        return [str(self._lake.location(path)) for path in files if not path.endswith("index.parquet")]
