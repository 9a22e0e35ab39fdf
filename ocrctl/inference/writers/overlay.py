"""Pictures with what was found on them drawn in."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.postprocess.detections import Detections

_LINE, _RIM = (0, 255, 60), (0, 0, 0)  # RGB: seen on any ground
_SHIFT = 4  # bits behind the point, as OpenCV takes fractions of pixels


def draw(image: NDArray[np.uint8], found: Detections) -> NDArray[np.uint8]:
    """A copy of RGB uint8 (H, W, 3) with each outline, as wide as suits the picture."""
    drawn = image.copy()
    width = max(1, round(max(image.shape[:2]) / 640))
    outlines = [np.rint(found.polygon(i) * (1 << _SHIFT)).astype(np.int32) for i in range(len(found))]
    for colour, thickness in ((_RIM, width + 2), (_LINE, width)):
        cv2.polylines(drawn, outlines, True, colour, thickness, cv2.LINE_AA, _SHIFT)
    return drawn


def png(image: NDArray[np.uint8]) -> bytes:
    """RGB uint8 (H, W, 3) as a PNG file."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert done
    return encoded.tobytes()
