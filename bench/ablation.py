"""What each piece of the default recipe adds: `python -m bench.ablation` writes docs/ablation.md.

Images of the training side of `threebody` alone, so many of each variety; every score is a cross-validation that holds whole varieties
out, with vocabulary, projection and classifier fitted inside each fold. The same chains are asked about spoiled and turned copies of
what they never saw.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from bench.__main__ import machine
from bench.stand import PROJECT, VARIABLE
from pomona.ablation import compared, compared_rows, without
from pomona.knobs import resolve
from pomona.vision.augment import altered
from pomona.vision.chain import Row
from pomona.vision.corruptions import spoiled
from pomona.vision.decode import decode
from pomona.vision.describe import Describer, Description, Extractor
from pomona.vision.encode import Encoding, vector
from pomona.vision.validate import Validation, cross_validate
from pomona.vision.words import Preparation, learn, prepare

TARGET = PROJECT / "docs" / "ablation.md"
# Asked about beside the images as they are; each is what a copy in training may have been meant for.
ASKED = ("blur", "noise", "compressed", "quarter turn", "altered")
_HEAD = """# What each piece adds

Written by `make ablation` on {date}, {machine}.

{n_images:,} training images of `threebody` in {n_groups} varieties; {folds} folds that hold whole varieties out, everything fitted
inside the fold; the test side is never looked at. Intervals of 95 %, varieties resampled. *Against default* is the difference on the
same images, in points; a difference whose interval holds 0 can be chance. *Spoiled* and *turned* ask the same chains about changed
copies of what they never saw: the mean over blur (σ 2), noise (σ 10), JPEG (quality 30) and another pose in other light before other
surroundings; and a quarter turn. *ms* is one core from bytes to vector, *kB* what is kept of a training image with its copies, *folds*
the CPU seconds for all of them.

| recipe | accuracy | against default | spoiled | turned | ms | kB | folds |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
_FOLDS = 10
_RESAMPLES = 2000


class Image(NamedTuple):
    """One training image: where it lies, and what it is."""

    path: str
    label: str
    group: str


@dataclass(frozen=True)
class Line:
    """One recipe, measured."""

    name: str
    validation: Validation
    ms: float
    n_bytes: int
    fit_s: float


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ablation", description="What each piece of the default recipe adds.")
    parser.add_argument("--images-a-group", type=int, default=30, help="drawn by a hash of the file's name")
    given = parser.parse_args(words)
    if not os.environ.get(VARIABLE):
        print(f"{VARIABLE} is not set: it names a folder that holds threebody/", file=sys.stderr)
        return 2
    images = drawn(Path(os.environ[VARIABLE]) / "threebody" / "Training", given.images_a_group)
    lines: list[Line] = []
    rows: list[Row] = []
    for name, knobs in recipes().items():
        line, rows = measured(name, images, {**knobs, "folds": _FOLDS})
        lines.append(line)
        print(f"{name}: {accuracy(rows, line.validation):.3f}", flush=True)
    TARGET.write_text(page(lines, rows, images), encoding="utf-8")
    print(f"written to {TARGET.relative_to(PROJECT)}")
    return 0


def recipes() -> dict[str, dict[str, Any]]:
    """The default first, then the default without each piece, then other recipes."""
    default = resolve({})
    changed = {f"without {piece}": knobs for piece, knobs in without(default).items()}
    changed["without looking for the object"] = {**default, "object_only": False}
    changed["half the words"] = {**default, "n_words": int(default["n_words"]) // 2}
    changed["with five steps of expectation-maximisation"] = {**default, "em_steps": 5}
    changed["with the colour histogram beside it"] = {**default, "histogram_weight": 0.5}
    changed["grid of 7 pixels"] = {**default, "grid_px": 7}
    changed["another seed"] = {**default, "seed": 1}
    return {"default": default, **changed, **{f"preset `{name}`": resolve({"preset": name}) for name in ("max", "fast", "classic")}}


def drawn(folder: Path, n_each: int) -> list[Image]:
    """So many images of each variety, a folder below the label's."""
    found = []
    for group in sorted(path for path in folder.glob("*/*") if path.is_dir()):
        files = sorted(group.iterdir(), key=lambda file: hashlib.sha256(file.name.encode()).hexdigest())
        found += [Image(str(file), group.parent.name, f"{group.parent.name}/{group.name}") for file in files[:n_each]]
    return found


def measured(name: str, images: Sequence[Image], knobs: Mapping[str, Any]) -> tuple[Line, list[Row]]:
    """The recipe's cross-validation, and what it costs: milliseconds from bytes to vector, bytes kept, CPU seconds for all folds."""
    with multiprocessing.Pool() as pool:
        described = pool.starmap(_described, [(image.path, dict(knobs)) for image in images], chunksize=32)
    rows = [
        Row(content, image.label, image.group, first, copies) for image, (content, first, copies, _) in zip(images, described, strict=True)
    ]
    also = list(zip(*(asked for *_, asked in described), strict=True))
    began = time.process_time()
    validation = cross_validate(rows, knobs, also=also)
    fit_s = time.process_time() - began
    return Line(name, validation, _ms(images, rows, knobs), _n_bytes(rows), fit_s), rows


def _described(path: str, knobs: dict[str, Any]) -> tuple[str, Description, tuple[Description, ...], list[Description]]:
    """Content, the image, its copies, and it as it is asked about (`ASKED`)."""
    cv2.setNumThreads(1)
    data = Path(path).read_bytes()
    content = hashlib.sha256(data).hexdigest()
    describer = Describer(Extractor.of(knobs))
    image, *copies = describer.copies(data, content, range(int(knobs["copies"]) + 1))
    picture = decode(data, side_px=int(knobs["side_px"]))
    seed = int(content[:8], 16)
    changed = [spoiled(picture, kind, seed=seed) for kind in ASKED[:3]]
    # A copy that no recipe is taught: the numbers that training uses end long before.
    changed += [np.ascontiguousarray(np.rot90(picture)), altered(picture, content, 1000)]
    asked = [describer.describe(cv2.imencode(".png", each)[1].tobytes()) for each in changed]
    return content, image, tuple(copies), asked


def _ms(images: Sequence[Image], rows: Sequence[Row], knobs: Mapping[str, Any]) -> float:
    """Milliseconds of one core from a file's bytes to its vector: 200 images, the fastest of three times."""
    cv2.setNumThreads(1)
    describer, preparation, encoding = Describer(Extractor.of(knobs)), Preparation.of(knobs), Encoding.of(knobs)
    few = rows[:: max(1, len(rows) // 200)]
    sample = prepare(np.concatenate([row.description.descriptors for row in few]), preparation)
    vocabulary = learn(sample, knobs=knobs, n_words=int(knobs["n_words"]) or 30).vocabulary
    data = [Path(image.path).read_bytes() for image in images[:: max(1, len(images) // 200)]]
    taken = []
    for _ in range(3):
        began = time.process_time()
        for each in data:
            vector(describer.describe(each), vocabulary, preparation, encoding)
        taken.append(time.process_time() - began)
    return min(taken) / len(data) * 1000


def _n_bytes(rows: Sequence[Row]) -> int:
    """Bytes kept for one training image, its copies included."""
    return round(np.mean([sum(each.descriptors.nbytes for each in (row.description, *row.copies)) for row in rows]))


def accuracy(rows: Sequence[Row], validation: Validation) -> float:
    labels, _, said = compared_rows(rows, validation.predictions)
    return float((labels == said).mean())


def page(lines: Sequence[Line], rows: Sequence[Row], images: Sequence[Image]) -> str:
    """docs/ablation.md."""
    whole = lines[0].validation
    n_groups = len({image.group for image in images})
    head = _HEAD.format(
        date=time.strftime("%Y-%m-%d", time.gmtime()), machine=machine(), n_images=len(images), n_groups=n_groups, folds=_FOLDS
    )
    return head + "\n".join(_cells(line, rows, whole) for line in lines) + "\n"


def _cells(line: Line, rows: Sequence[Row], whole: Validation) -> str:
    found = compared(rows, whole, line.validation, resamples=_RESAMPLES, seed=0)
    low, high = found["difference_interval"]
    against = "–" if line.validation is whole else f"{100 * found['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    labels = np.array([row.label for row in rows], dtype=object)
    also = [float((np.array(said, dtype=object) == labels).mean()) for said in line.validation.also]
    by_name = dict(zip(ASKED, also, strict=True))
    turned = by_name.pop("quarter turn")
    score = f"{found['accuracy']:.3f} ({found['interval'][0]:.3f} to {found['interval'][1]:.3f})"
    costs = f"{line.ms:.1f} | {line.n_bytes / 1000:.0f} | {line.fit_s:.0f} s"
    return f"| {line.name} | {score} | {against} | {np.mean(list(by_name.values())):.3f} | {turned:.3f} | {costs} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
