"""Validation of detectors: scores of whole pages, and the sheet of previews."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import recognition_card
from ocrctl.config.settings import ModelSettings
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.errors import ResumableStop
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import Charset
from ocrctl.text.tokenizer import CTCTokenizer
from ocrctl.training.page_validation import CELL, COLUMNS, PageValidation
from ocrctl.training.validation import WordValidation

BOX = np.array([[8.0, 8.0], [88.0, 8.0], [88.0, 40.0], [8.0, 40.0]])
SIZES = [(64, 128)] * COLUMNS + [(100, 100)]


class Pages:
    def __len__(self) -> int:
        return len(SIZES)

    def page(self, index: int) -> tuple[np.ndarray, PageWords]:
        nowhere = np.zeros((0, 4, 2))
        words = PageWords(BOX, np.array([0, 4]), np.array([False]), ["word"], nowhere, np.array([0, 0]))
        return np.full((*SIZES[index], 3), 90, np.uint8), words


class Finder(nn.Module):
    """Finds the kernel of BOX wherever it is."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits = torch.full((1, *images.shape[-2:]), -9.0)
        scale = images.shape[-1] // 128
        logits[:, 17 * scale : 32 * scale, 17 * scale : 80 * scale] = 9.0
        return {"probability": logits}


class Broken(nn.Module):
    """Finite weights, outputs that are not."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {
            "probability": torch.full((1, *images.shape[-2:]), torch.nan),
            "logits": torch.full((1, 4, 4), torch.inf),
        }


def test_outputs_that_are_not_finite_end_the_run() -> None:
    pages = PageValidation(Pages(), detection_card(get_spec("dbnet"), ModelSettings()), side=128)
    images = np.zeros((2, 32, 32, 1), np.uint8)
    card = recognition_card(get_spec("crnn-tiny"), "catdog")
    words = WordValidation(
        lambda: ([[image] for image in images], ["cat", "dog"]), card, CTCTokenizer(Charset("catdog"), 5), 2
    )
    for validation, said in ((pages, "probability holds 8192 NaN"), (words, "probabilities hold 4 NaN")):
        batch = next(iter(validation))
        validation.begin()
        with pytest.raises(ResumableStop, match=f"Validation: the model's {said}"):
            validation.step(Broken(), batch)  # type: ignore[arg-type]


def test_pages_are_scored_and_drawn_without_empty_bands() -> None:
    card = detection_card(get_spec("dbnet"), ModelSettings())
    validation = PageValidation(Pages(), card, side=128)
    batches = iter(validation)
    first = next(batches)
    validation.begin()
    model = Finder()
    validation.step(model, first)  # type: ignore[arg-type]
    for batch in batches:
        validation.step(model, batch)  # type: ignore[arg-type]
    scores = validation.score()
    assert scores.row["val_recall"] > 0.5 and f"for {len(SIZES)}" in scores.line
    sheet = validation.sheet(10)
    assert sheet.shape == (CELL // 2 + CELL, COLUMNS * CELL, 3)
    drawn = sheet[: CELL // 2]
    assert (drawn.min(2) < 60).any() and not (drawn == 255).all(2).any()
    assert (sheet[CELL // 2 :, CELL:] == 255).all()  # where no page is
