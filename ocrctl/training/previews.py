"""Images of what a model reads: validation samples with ground truth and prediction, drawn in a font that has the
letters."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images import Image
from ocrctl.data.images.draw_text import draw_text
from ocrctl.training.checkpoints import write_atomically

TEXT_SIZE, PAD, SCALE = 18, 6, 2  # pixels; the image is enlarged SCALE times
RIGHT, WRONG, INK = (0, 120, 0), (180, 0, 0), (60, 60, 60)


def preview_sheet(images: NDArray[np.uint8], truths: list[str], predictions: list[str], columns: int = 4) -> Image:
    """Draw a grid, RGB uint8: each image of images uint8 (N, H, W, C), below it the ground truth and, green or red, the
    prediction."""
    height, width = images.shape[1:3]
    cell_h, cell_w = height * SCALE + 2 * TEXT_SIZE + 4 * PAD, max(width * SCALE, 200) + 2 * PAD
    rows = -(-len(images) // columns)
    sheet: Image = np.full((rows * cell_h, columns * cell_w, 3), 255, np.uint8)
    for number, (image, truth, prediction) in enumerate(zip(images, truths, predictions, strict=True)):
        top, left = number // columns * cell_h + PAD, number % columns * cell_w + PAD
        rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        large = cv2.resize(rgb, (width * SCALE, height * SCALE), interpolation=cv2.INTER_CUBIC)
        sheet[top : top + height * SCALE, left : left + width * SCALE] = large
        baseline = top + height * SCALE + TEXT_SIZE
        cell = sheet[:, left : left + cell_w - 2 * PAD]  # a view: text longer than its cell is cut at its edge
        clip = np.ascontiguousarray(cell)
        draw_text(clip, truth, (0, baseline), INK, TEXT_SIZE)
        shown = prediction or "(empty)"
        colour = RIGHT if prediction == truth else WRONG
        draw_text(clip, shown, (0, baseline + TEXT_SIZE + PAD), colour, TEXT_SIZE)
        cell[:] = clip
    return sheet


def write_sheet(path: Path, sheet: Image) -> None:
    """Write RGB uint8 as PNG. Raises ResumableStop when it cannot be written."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_atomically(path, lambda file: file.write(encoded.tobytes()), "the preview")
