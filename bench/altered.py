"""More photographs than there are: copies of real ones with small changes of light, each a content of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from bench.stand import linked

_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?P<after>_100\.\w+)")
_PICTURES = {".jpg", ".jpeg", ".png"}


def photographs(landing: Path) -> list[Path]:
    """Every picture below the folder, sorted."""
    return sorted(path for path in landing.rglob("*") if path.suffix.lower() in _PICTURES)


def multiplied(source: Path, target: Path, n_images: int) -> int:
    """How many pictures `target` has: those of `source`, linked, and as many altered copies in turn as make `n_images` of them."""
    pictures = photographs(source)
    for path in pictures[:n_images]:
        linked(path, target / path.relative_to(source))
    rounds = -(-n_images // max(1, len(pictures)))
    wanted = ((path, number) for number in range(1, rounds) for path in pictures)
    return min(n_images, len(pictures)) + alter(source, target, islice(wanted, max(0, n_images - len(pictures))))


def alter(source: Path, target: Path, wanted: Iterable[tuple[Path, int]]) -> int:
    """Writes the altered copy of each (picture of `source`, number) into the same folder below `target`; how many."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return sum(pool.map(partial(_alter, source, target), wanted, chunksize=200))


def _alter(source: Path, target: Path, wanted: tuple[Path, int]) -> int:
    path, number = wanted
    cv2.setNumThreads(1)
    copy = target / path.relative_to(source).with_name(renamed(path.name, number))
    copy.parent.mkdir(parents=True, exist_ok=True)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    cv2.imwrite(str(copy), changed(image, number), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return 1


def changed(image: np.ndarray, number: int) -> np.ndarray:
    """The picture (h, w, 3) BGR in slightly other light: gain, gamma and white balance by some per cent, by the number."""
    random = np.random.default_rng(number)
    gain, gamma, white = random.uniform(0.94, 1.02), random.uniform(0.95, 1.05), random.uniform(0.98, 1.02, 3)
    levels = 255 * (gain * white) * (np.arange(256) / 255)[:, None] ** gamma
    return np.asarray(cv2.LUT(image, np.clip(np.rint(levels), 0, 255).astype(np.uint8)[:, None, :]))


def renamed(name: str, number: int) -> str:
    """Another name, of the same group: `r_12_100.jpg` becomes `r_300012_100.jpg`, any other `apple.jpg` `apple-3.jpg`."""
    found = _NUMBERED.fullmatch(name)
    if found:
        return f"{found['before']}{number * 100_000 + int(found['number'])}{found['after']}"
    stem, _, ending = name.rpartition(".")
    return f"{stem}-{number}.{ending}"
