"""The plain OpenCV loop that describing is measured against: one process, one thread, no project code.

    python -m bench.plain_loop FILE_WITH_PATHS SIDE_PX MAX_KEYPOINTS CONTRAST EDGE BINS

prints `{"images": …, "keypoints": …, "cpu_s": …}`; the CPU seconds are those of the loop, without the imports.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def main(words: Sequence[str]) -> int:
    """0, after the one line."""
    listing, side_px, max_keypoints, contrast, edge, bins = words
    paths = Path(listing).read_text().splitlines()
    cv2.setNumThreads(1)
    started = time.process_time()
    n_keypoints = described(paths, int(side_px), int(max_keypoints), float(contrast), float(edge), json.loads(bins))
    print(json.dumps({"images": len(paths), "keypoints": n_keypoints, "cpu_s": time.process_time() - started}))
    return 0


def described(paths: Sequence[str], side_px: int, max_keypoints: int, contrast: float, edge: float, bins: list[int]) -> int:
    """How many keypoints the images have; everything found is held, as a loop that goes on to cluster it would."""
    sift = cv2.SIFT.create(max_keypoints, 3, contrast, edge, 1.6, cv2.CV_8U, False)
    held = []
    for path in paths:
        image: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        factor = side_px / max(image.shape[:2])
        if factor < 1:
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        keypoints, descriptors = sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), None)
        lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
        places = np.rint(cv2.KeyPoint.convert(keypoints)).astype(int).reshape(-1, 2)
        colours = lab[places[:, 1].clip(0, lab.shape[0] - 1), places[:, 0].clip(0, lab.shape[1] - 1)]
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        histogram = cv2.calcHist([hsv], [0, 1, 2], None, bins, [0, 180, 0, 256, 0, 256])
        held.append((descriptors, colours, histogram))
    return sum(len(colours) for _, colours, _ in held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
