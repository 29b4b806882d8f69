"""One picture becomes 64 bits that near copies share but for a few."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE_PX = 32
_LOW = 8


def fingerprint(image: NDArray[np.uint8]) -> int:
    """The perceptual hash of an image (h, w, 3) BGR, a signed 64-bit number.

    The signs of the 8×8 lowest frequencies of the brightness, reduced to 32×32 pixels, against their median (Zauner 2010).
    """
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:_LOW, :_LOW].ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big", signed=True)
