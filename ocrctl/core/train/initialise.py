"""What a run starts from when `--from` names something: another run's weights, or published ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ocrctl.errors import InputError, UsageError
from ocrctl.inference.locate import locate
from ocrctl.models.checkpoint import load_initial

if TYPE_CHECKING:
    from ocrctl.core.train.pages import PageData
    from ocrctl.core.train.words import TrainingData
    from ocrctl.models.ocr_model import OCRModel


def initialise(model: OCRModel, data: TrainingData | PageData, init: str) -> str:
    """Copy weights from a checkpoint, or from published ones; rows of classes go by character. Raises InputError when
    sizes differ elsewhere."""
    found = locate(init)
    if found.kind != "checkpoint":
        raise UsageError(f"--from {init}: training starts from a checkpoint or a run folder, not from an ONNX file.")
    what, charset, weights = load_initial(found.path)
    own = model.state_dict()
    shared = "same charset"
    if charset != data.card.charset:
        rows = {char: row for row, char in enumerate(charset)}
        pairs = [(row, rows[char]) for row, char in enumerate(data.card.charset) if char in rows]
        for name in model.class_tensors:
            if name in weights and weights[name].shape[1:] == own[name].shape[1:]:
                weights[name] = _rows_by_character(own[name], weights[name], pairs, len(charset))
        shared = f"{len(pairs)} of {len(data.card.charset)} characters keep their weights"
    model.fit_size(weights)
    wrong = sorted(name for name in own if name not in weights or weights[name].shape != own[name].shape)
    if wrong:
        raise InputError(
            f"{found.path} holds {what}, whose weights do not fit {data.card.arch} (first difference: {wrong[0]})."
        )
    model.load_state_dict(weights)
    return f"from: {found.path} ({what}, {shared})"


def _rows_by_character(
    own: torch.Tensor, given: torch.Tensor, pairs: list[tuple[int, int]], given_chars: int
) -> torch.Tensor:
    """`own` with the rows of `given` that mean the same class: row 0, the characters `pairs` (own row, given row),
    and the special classes behind the characters."""
    merged = own.clone()
    merged[0] = given[0]
    for row, before in pairs:
        merged[row + 1] = given[before + 1]
    behind = given.shape[0] - 1 - given_chars
    if behind:
        merged[-behind:] = given[-behind:]
    return merged
