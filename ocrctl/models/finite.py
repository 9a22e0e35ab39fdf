"""Check weights for values that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError
from ocrctl.models.finite_arrays import not_finite_output

if TYPE_CHECKING:
    from ocrctl.models.ocr_model import OCRModel


def names_not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the floating-point tensors that hold NaN or infinite values, in order; synchronises once
    where there are none."""
    named = [(name, value.detach()) for name, value in tensors.items() if value.is_floating_point()]
    if not named:
        return []
    sums = torch.stack([value.sum(dtype=torch.float32) for _, value in named]).isfinite().tolist()
    # A finite sum has finite summands; one that is not may only be too large.
    return [n for (n, value), fine in zip(named, sums, strict=True) if not fine and not bool(value.isfinite().all())]


def refuse_not_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise InputError when weights read from `path` are not finite: the model would answer with nonsense."""
    if names := names_not_finite(tensors):
        raise InputError(
            f"{path}: {len(names)} of {len(tensors)} weights hold NaN or infinite values, first {names[0]}.",
            hint="use a checkpoint from before training broke them; lower train.lr in a new run",
        )


def refuse_not_finite_outputs(model: OCRModel, card: ModelCard, path: Path) -> None:
    """Raise InputError when `model`, with the weights of `path`, gives NaN or infinite values for an image of noise:
    finite weights do so where a variance is negative or a scale very large. The mode of the model, training or
    evaluation, is restored; no global random state is used."""
    shape = (1, card.channels, card.height, card.example_width)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            outputs = model(images)
    finally:
        model.train(training)
    for name, values in outputs.items():
        if held := not_finite_output(name, values.float().numpy()):
            raise InputError(
                f"{path}: {held}, although its weights are finite.",
                hint="use another checkpoint; a negative variance of a normalisation layer gives NaN",
            )
