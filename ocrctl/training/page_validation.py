"""Validation of detectors: whole pages through the model, boxes against polygons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.data.images import Image
from ocrctl.data.images.resize_page import resize_page
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.errors import counted
from ocrctl.metrics.hmean import match
from ocrctl.metrics.instances import from_detections, from_words
from ocrctl.models.find import find
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.outlines.detections import Detections
from ocrctl.training.validation import Gather, ReadAhead, Scores, refuse_not_finite

TRUE, FOUND, IGNORED = (0, 160, 0), (220, 30, 30), (150, 150, 150)  # colours of outlines, RGB
CELL = 480  # pixels of a preview's longer side
COLUMNS = 4


class Pages(Protocol):
    """The validation pages."""

    def __len__(self) -> int: ...

    def page(self, index: int) -> tuple[Image, PageWords]:
        """Return the image RGB uint8 (H, W, 3) and its words, in its pixels."""


class PageValidation:
    """Pages are read again each time: a hundred of them would take hundreds of megabytes."""

    columns: tuple[str, ...] = ("val_hmean", "val_precision", "val_recall")

    def __init__(self, pages: Pages, card: ModelCard, side: int) -> None:
        """`side`: pixels of a page's longer side in the network."""
        self._pages, self._card, self._side = pages, card, side
        self._first = ReadAhead(lambda: pages.page(0))
        self._rank, self._world = 0, 1
        self._found: dict[int, Detections] = {}  # by page
        # By page; a loader asks for the first page before `begin`.
        self._shown: dict[int, tuple[tuple[float, float], tuple[int, int]]] = {}  # scale (x, y), size (height, width)
        self._words: dict[int, PageWords] = {}

    def read_ahead(self) -> None:
        """Read only the first page ahead: the others are read when needed."""
        self._first.start()

    def check(self) -> None:
        """Implement Validation."""
        self._first.check()

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for index in range(self._rank, len(self._pages), self._world):
            image, words = self._pages.page(index)
            shown, scale = resize_page(image, self._side)
            self._words[index], self._shown[index] = words, (scale, (image.shape[0], image.shape[1]))
            yield {
                "images": torch.from_numpy(shown).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)
            }

    def divide(self, rank: int, world: int) -> None:
        """Implement Validation: every process takes every `world`-th page."""
        self._rank, self._world = rank, world

    def merge(self, gather: Gather) -> None:
        """Implement Validation."""
        if self._world > 1:
            for found, words in gather((self._found, {index: self._words[index] for index in self._found})):
                self._found.update(found)
                self._words.update(words)

    def begin(self) -> None:
        """Implement Validation."""
        self._found = {}

    def step(self, model: OCRModel, batch: dict[str, Tensor]) -> None:
        """Find the boxes of one page, in its pixels."""
        outputs = {name: value[0].float().cpu().numpy() for name, value in model(batch["images"]).items()}
        for name, values in outputs.items():
            refuse_not_finite(name, values)
        found = find(self._card.arch, outputs, self._card.thresholds)
        index = self._rank + self._world * len(self._found)
        self._found[index] = found.on_image(*self._shown[index])

    def score(self) -> Scores:
        """Compute IoU hmean by the ICDAR 2015 protocol, over all pages."""
        pages = sorted(self._found)
        counts = match(
            from_words([self._words[index] for index in pages]),
            from_detections([self._found[index] for index in pages]),
        ).total()
        row = {"val_hmean": counts.hmean, "val_precision": counts.precision, "val_recall": counts.recall}
        line = (
            f"val hmean {counts.hmean:.1%}, precision {counts.precision:.1%}, recall {counts.recall:.1%}, "
            f"{counted(counts.detections, 'box', 'boxes')} for {counts.truths}"
        )
        nothing = (
            f"no box is found on {counted(len(self._found), 'page')}"
            if counts.truths and not counts.detections
            else None
        )
        return Scores(row, counts.hmean, line, nothing)

    def sheet(self, count: int) -> Image:
        """Draw the first pages with true outlines in green, ignored ones in grey, found ones in red."""
        cells = [self._drawn(index) for index in range(min(count, len(self._found)))]
        rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
        heights = [max(cell.shape[0] for cell in row) for row in rows]
        sheet = np.full((sum(heights), min(COLUMNS, len(cells)) * CELL, 3), 255, np.uint8)
        for row, top in zip(rows, np.cumsum([0, *heights]).tolist(), strict=False):
            for column, cell in enumerate(row):
                left = column * CELL
                sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        return sheet

    def _drawn(self, index: int) -> Image:
        image, words = self._pages.page(index)
        scale = CELL / max(image.shape[:2])
        size = (max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale)))
        cell: Image = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        for number in range(len(words)):
            _outline(cell, words.polygon(number) * scale, IGNORED if words.ignore[number] else TRUE)
        for number in range(len(self._found[index])):
            _outline(cell, self._found[index].polygon(number) * scale, FOUND)
        return cell


def _outline(image: Image, points: NDArray[np.floating], colour: tuple[int, int, int]) -> None:
    cv2.polylines(image, [np.rint(points).astype(np.int32)], True, colour, 1, cv2.LINE_AA)
