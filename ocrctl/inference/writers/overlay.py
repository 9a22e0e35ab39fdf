"""Draw detected polygons on an image, and recognised texts beside it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images import Image
from ocrctl.data.images.draw_text import draw_text, text_width
from ocrctl.models.outlines.detections import Detections

_LINE, _RIM = (0, 255, 60), (0, 0, 0)  # RGB: seen on any ground
_DOT = (255, 80, 200)
_INK, _FRAME = (0, 0, 0), (90, 170, 100)
_FAINT = 0.15  # of the image's contrast that is left behind texts
_MIN_TEXT = 9  # pixels of a text that can be read
_SHIFT = 4  # bits after the decimal point, as OpenCV takes fractions of pixels


def draw(
    image: Image,
    found: Detections,
    texts: Sequence[str] | None = None,
    marks: Sequence[tuple[float, float]] = (),
) -> Image:
    """Draw the outlines on a copy of RGB uint8 (H, W, 3), with a line width that suits the image, and a dot at each of
    `marks`, the positions of characters in pixels.

    With `texts`, one for each outline, (H, 2 W, 3) or, of an image wider than high, (2 H, W, 3): beside
    it a pale copy with the texts at their outlines, always upright.
    """
    drawn = image.copy()
    width = max(1, round(max(image.shape[:2]) / 640))
    outlines = [np.rint(found.polygon(i) * (1 << _SHIFT)).astype(np.int32) for i in range(len(found))]
    for colour, thickness in ((_RIM, width + 2), (_LINE, width)):
        cv2.polylines(drawn, outlines, True, colour, thickness, cv2.LINE_AA, _SHIFT)
    for radius, colour in ((width + 2, _RIM), (width + 1, _DOT)):
        for x, y in marks:
            centre = (round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT)))
            cv2.circle(drawn, centre, radius << _SHIFT, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    if texts is None:
        return drawn
    read: Image = (255 - (255 - image) * _FAINT).astype(np.uint8)
    cv2.polylines(read, outlines, True, _FRAME, 1, cv2.LINE_AA, _SHIFT)
    for index, text in enumerate(texts):
        if text:
            _letter(read, found.polygon(index), text)
    return np.concatenate((drawn, read), axis=0 if image.shape[1] > image.shape[0] else 1)


def _letter(image: Image, outline: NDArray[np.float32], text: str) -> None:
    """Write `text` into an outline (n, 2), as large as it fits along the longer side."""
    (x, y), (across, down), _ = cv2.minAreaRect(outline)
    size = max(_MIN_TEXT, round(0.8 * min(across, down)))
    wanted = text_width(text, size)
    if wanted > max(across, down):
        size = max(_MIN_TEXT, int(size * max(across, down) / wanted))
        wanted = text_width(text, size)
    left = max(0, min(round(x - wanted / 2), image.shape[1] - wanted))
    draw_text(image, text, (left, round(y + 0.36 * size)), _INK, size)  # capitals are 0.72 of the size high


def png(image: Image) -> bytes:
    """Encode RGB uint8 (H, W, 3) as a PNG file."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert done
    return encoded.tobytes()
