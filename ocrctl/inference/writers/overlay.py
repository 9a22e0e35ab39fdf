"""Pictures with what was found on them drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.lettering import draw_text, text_width
from ocrctl.postprocess.detections import Detections

_LINE, _RIM = (0, 255, 60), (0, 0, 0)  # RGB: seen on any ground
_INK = (255, 255, 255)
_SHADE = 0.35  # of the picture's light that is left behind a text
_SHIFT = 4  # bits behind the point, as OpenCV takes fractions of pixels


def draw(image: NDArray[np.uint8], found: Detections, texts: Sequence[str] = ()) -> NDArray[np.uint8]:
    """A copy of RGB uint8 (H, W, 3) with each outline, as wide as suits the picture, and its text above it, if any."""
    drawn = image.copy()
    longest = max(image.shape[:2])
    width = max(1, round(longest / 640))
    outlines = [np.rint(found.polygon(i) * (1 << _SHIFT)).astype(np.int32) for i in range(len(found))]
    for colour, thickness in ((_RIM, width + 2), (_LINE, width)):
        cv2.polylines(drawn, outlines, True, colour, thickness, cv2.LINE_AA, _SHIFT)
    for index, text in enumerate(texts):
        if text:
            _label(drawn, found.polygon(index), text, width)
    return drawn


def _label(drawn: NDArray[np.uint8], outline: NDArray[np.float32], text: str, gap: int) -> None:
    """Write `text` on a darkened strip above an outline (n, 2), or within it at its top where the picture ends."""
    height, width = drawn.shape[:2]
    longest = max(height, width)
    low = min(cv2.minAreaRect(outline)[1])
    size = round(min(max(0.8 * low, 10, longest / 100), max(14, longest / 56)))
    strip = size + size // 3
    across = text_width(text, size) + size // 3
    left = max(0, min(round(float(outline[:, 0].min())), width - across))
    top = max(0, round(float(outline[:, 1].min())) - strip - gap)
    place = drawn[top : top + strip, left : left + across]
    place[:] = (place * _SHADE).astype(np.uint8)
    lettered = np.ascontiguousarray(place)
    draw_text(lettered, text, (size // 6, size), _INK, size)
    place[:] = lettered


def png(image: NDArray[np.uint8]) -> bytes:
    """RGB uint8 (H, W, 3) as a PNG file."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert done
    return encoded.tobytes()
