"""One picture becomes 64 bits that near copies share but for a few."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE_PX = 32
# Bits and thresholds of brightness, red − green and blue − yellow. Near 0 a sign is noise of compression, so a bit asks for more.
_PLANES = ((52, 15.0), (6, 30.0), (6, 30.0))
_BANDS = 4


def _lowest(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the n lowest frequencies that change along both axes."""
    order = sorted(((i, j) for i in range(1, _SIDE_PX) for j in range(1, _SIDE_PX)), key=lambda place: (sum(place), place))[:n]
    rows, columns = np.array(order, dtype=np.intp).T
    return rows, columns


_PLACES = tuple(_lowest(n_bits) for n_bits, _ in _PLANES)


def fingerprint(image: NDArray[np.uint8]) -> int:
    """The perceptual hash of an image (h, w, 3) BGR, a signed 64-bit number; pictures of one plain colour all have 0.

    The signs of the lowest frequencies of the picture reduced to 32×32 pixels (after Zauner 2010), here of brightness and of two
    colour differences. Frequencies along one axis alone are left out: they hold that something stands in the middle, which on a plain
    background is true of every picture. Chosen among some forty variants on 31,466 photographs of single fruits on white, the same that
    these figures are of:

    - of 1,000 of them, 99.3 to 100 % of copies lie within 3 bits that are saved as JPEG of quality 30 to 95, at half to 1.2 times the
      size, or with brightness × 0.9 to × 1.05 (96.9 % at × 1.1, which bleaches); of frames 1, 4 and 8 steps apart in a video 79, 51 and
      20 %;
    - of 6,910 pictures of varieties that the training side does not have 64 have a picture there within 3 bits (0.9 %), 10 of them of
      another kind of fruit. The brightness alone, 8×8 frequencies against their median: 290, 190 of another kind.
    """
    small = cv2.resize(image, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    blue, green, red = (np.ascontiguousarray(small[:, :, channel]) for channel in range(3))
    planes = (0.114 * blue + 0.587 * green + 0.299 * red, red - green, blue - (red + green) / 2)
    parts = [cv2.dct(plane)[places] > threshold for plane, places, (_, threshold) in zip(planes, _PLACES, _PLANES, strict=True)]
    # Dealt out in turn over the bands that near copies are looked for by: grey pictures, without a colour bit, would share a whole one.
    bits = np.concatenate(parts).reshape(-1, _BANDS).T
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)
