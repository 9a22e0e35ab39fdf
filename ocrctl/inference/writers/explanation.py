"""Draw where a recogniser attended to: a panel for each character, with the attention over the image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images import Image
from ocrctl.data.images.draw_text import draw_text, text_width
from ocrctl.escape import visible
from ocrctl.inference.attended import Attention, Points
from ocrctl.inference.engine import Recognition

TITLES = {
    "cross": "cross-attention, last decoder layer",
    "self": "self-attention, last block, of the steps that the bar below the image marks",
    "points": "sampling points, last decoder layer: one colour for each head, area by weight, rings beyond the image",
}
_HEIGHT = 96  # pixels of the image in a panel
_WIDTHS = (40, 1200)  # pixels: minimum and maximum; beyond them the aspect ratio of the image changes
_SHEET = 1200  # pixels: panels beyond it begin a new row
_SIZE, _SMALL, _PAD = 20, 13, 10  # pixels: of texts, and between panels
_BAR = 7  # pixels below the image, of which the bar has all but 2
_INK, _SOFT, _PAPER = (0, 0, 0), (110, 110, 110), (255, 255, 255)
_FAINT = 0.55  # of the image's contrast that is left below attention
_HEAT = cv2.COLORMAP_INFERNO
_HUES = ((230, 25, 75), (0, 110, 255), (20, 150, 30), (245, 130, 0), (145, 30, 180), (0, 160, 170), (128, 80, 0),
         (240, 50, 230))  # fmt: skip
_SHIFT = 4  # bits after the decimal point, as OpenCV takes fractions of pixels


def explanation_sheet(image: Image, read: Recognition) -> Image:
    """Draw what the recogniser of `image`, RGB uint8 (h, w, 3), attended to, as RGB uint8 of any size.

    The first panel is the image as it was read, with the text; then one for each character, with its confidence: the
    image with the weights of its cells as heat, from none to the largest of the character, or with sampling points.
    """
    attention = read.attention
    if attention is not None and attention.turns:
        image = np.ascontiguousarray(np.rot90(image, attention.turns))
    plain = _resized(image)
    panels = [_labelled(plain, visible(read.text) or "(empty)", f"{read.confidence:.2f}")]
    if attention is not None:
        faint = _grey(plain)
        for index, character in enumerate(read.characters or ()):
            label = "(space)" if character.text == " " else visible(character.text)
            bar = None if attention.steps is None else attention.steps[index]
            panels.append(_labelled(_drawn(faint, attention, index), label, f"{character.confidence:.2f}", bar))
    note = "no character to explain" if attention is None else TITLES[attention.kind]
    return _arranged(panels, note)


def heat(attention: Attention, index: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the weights of character `index` on an image of `size` (width, height): float32 (height, width), between
    the centres of the cells interpolated, divided by the largest weight of a cell."""
    cells = attention.cells[index]
    x, y = (
        ((np.arange(pixels) + 0.5) / pixels / cell - 0.5).astype(np.float32)
        for pixels, cell in zip(size, attention.size, strict=True)
    )
    columns, rows = np.meshgrid(x, y)
    found = cv2.remap(cells, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found / max(float(cells.max()), 1e-12), np.float32)


def draw_points(image: Image, points: Points, index: int) -> Image:
    """Draw the sampling points of character `index` on a copy of RGB uint8 (h, w, 3)."""
    drawn, (height, width) = image.copy(), image.shape[:2]
    for head, (places, weights, outside) in enumerate(
        zip(points.at[index], points.weights[index], points.outside[index], strict=True)
    ):
        for (x, y), weight, beyond in zip(places, weights, outside, strict=True):
            centre = (round(float(x) * width * (1 << _SHIFT)), round(float(y) * height * (1 << _SHIFT)))
            radius = round((2.5 + 6.0 * float(weight) ** 0.5) * (1 << _SHIFT))
            hue = _HUES[head % len(_HUES)]
            cv2.circle(drawn, centre, radius, _PAPER, 3 if beyond else cv2.FILLED, cv2.LINE_AA, _SHIFT)
            radius -= 0 if beyond else 1 << _SHIFT
            cv2.circle(drawn, centre, radius, hue, 2 if beyond else cv2.FILLED, cv2.LINE_AA, _SHIFT)
    return drawn


def _drawn(faint: Image, attention: Attention, index: int) -> Image:
    """Draw the attention of character `index` on a panel."""
    if attention.points is not None:
        return draw_points(faint, attention.points, index)
    weights = heat(attention, index, (faint.shape[1], faint.shape[0]))
    levels = np.rint(np.clip(weights, 0.0, 1.0) * 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, _HEAT), cv2.COLOR_BGR2RGB)
    share = 0.8 * weights[..., None].clip(0.0, 1.0)
    return np.asarray(np.rint(faint * (1 - share) + colours * share), np.uint8)


def _resized(image: Image) -> Image:
    """Bring an image to the size of a panel."""
    width = min(max(round(_HEIGHT * image.shape[1] / image.shape[0]), _WIDTHS[0]), _WIDTHS[1])
    shrinks = width * _HEIGHT < image.shape[0] * image.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, _HEIGHT), interpolation=way), np.uint8)


def _grey(image: Image) -> Image:
    """Return an image in pale grey."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return np.repeat(np.rint(255 - (255 - grey) * _FAINT).astype(np.uint8), 3, axis=2)


def _labelled(image: Image, text: str, detail: str, bar: NDArray[np.float64] | None = None) -> Image:
    """Add the text and a detail below an image; `bar`: from where to where across the image, 0 to 1, a bar marks it."""
    height, width = image.shape[:2]
    wide = max(width, text_width(text, _SIZE) + 6 + text_width(detail, _SMALL))
    below = height + (0 if bar is None else _BAR)
    panel: Image = np.full((below + _SIZE + 8, wide, 3), 255, np.uint8)
    panel[:height, :width] = image
    if bar is not None:
        left, right = np.rint(bar * width).astype(int)
        panel[height + 2 : below, left : max(right, left + 2)] = _INK
    end = draw_text(panel, text, (0, below + _SIZE), _INK, _SIZE)
    draw_text(panel, detail, (end + 6, below + _SIZE), _SOFT, _SMALL)
    return panel


def _arranged(panels: list[Image], note: str) -> Image:
    """Put the first panel and the note on top, the others below in rows, from left to right."""
    rows: list[list[Image]] = [panels[:1]]
    used = _SHEET
    for panel in panels[1:]:
        if used + panel.shape[1] > _SHEET:
            rows.append([])
            used = 0
        rows[-1].append(panel)
        used += panel.shape[1] + _PAD
    note_width = text_width(note, _SMALL)
    width = max(note_width, *(sum(panel.shape[1] + _PAD for panel in row) - _PAD for row in rows)) + 2 * _PAD
    heights = [max(panel.shape[0] for panel in row) + _PAD for row in rows]
    sheet: Image = np.full((_PAD + sum(heights) + _SMALL + _PAD, width, 3), 255, np.uint8)
    top = _PAD
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        left = _PAD
        for panel in row:
            sheet[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
            left += panel.shape[1] + _PAD
        top += height
        if number == 0:
            draw_text(sheet, note, (_PAD, top + _SMALL - 4), _SOFT, _SMALL)
            top += _SMALL + _PAD
    return sheet
