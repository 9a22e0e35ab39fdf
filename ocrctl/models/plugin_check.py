"""Check the outputs of a plug-in's model when it is built, before any data is read: names, shapes and types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.config.output_steps import output_steps
from ocrctl.errors import PluginError
from ocrctl.models.card import card_spec
from ocrctl.models.family import ModelFamily
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.plugins import HINT, guarded
from ocrctl.models.registry import get_spec

IMAGES = 2
PADDING_GAP = 1e-3  # of the largest logit; rounding stays below 1e-5
PAGE = (64, 96)  # height, width: unlike sides, so that swapped ones are found


def check_model(model: Any, card: ModelCard, classes: int, family: ModelFamily) -> None:
    """Run `model` once on black images, as a trained one, and check its outputs. Raises PluginError."""
    where = family.plugin or ""
    if not isinstance(model, OCRModel):
        raise PluginError(f"{where}: build gave {type(model).__name__}, expected an OCRModel.", hint=HINT)
    names = dict(model.named_parameters()) | dict(model.named_buffers())
    if lost := [name for name in model.class_tensors if name not in names]:
        raise PluginError(f"{where}: class_tensors name {lost[0]!r}, which the model does not have.", hint=HINT)
    kind = get_spec(card.arch).attention
    method = {"cross": "attention", "self": "step_attention"}.get(kind)
    if method is not None and getattr(type(model), method) is getattr(OCRModel, method):
        raise PluginError(f"{where}: {card.arch} has attention={kind!r}, but its model no {method}.", hint=HINT)
    height, width = PAGE if card.task == "detection" else (card.height, card.example_width)
    images = torch.zeros(IMAGES, card.channels, height, width, dtype=torch.uint8)
    training = model.training
    model.eval()
    with guarded(where, "the forward pass"), torch.no_grad():
        named = {} if card.kept is None else {"widths": torch.full((IMAGES,), width)}
        outputs = model(images, **named)
        problem = _problem(outputs, card, classes, (height, width))
        if card.kept is not None and not problem:
            problem = _padding_problem(model, card)
    model.train(training)
    if problem:
        raise PluginError(f"{where}: the model of {card.arch} gives {problem}.", hint=HINT)


def _padding_problem(model: OCRModel, card: ModelCard) -> str:
    """How the output for an image depends on a wider one in its batch, "" when it does not."""
    assert card.kept is not None
    wide = card.example_width
    narrow = wide // 2
    shape = (IMAGES, card.channels, card.height, wide)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    widths = torch.tensor([narrow, wide])
    together = model(images, widths=widths)["logits"][0]
    alone = model(images[:1, ..., : card.kept.batch_width(narrow)], widths=widths[:1])["logits"][0]
    steps = output_steps(card_spec(card), narrow)
    gap = float((together[:steps] - alone[:steps]).abs().max())
    if gap <= PADDING_GAP * max(1.0, float(alone[:steps].abs().max())):
        return ""
    return f"other logits for an image beside a wider one than alone, by up to {gap:.2g}: padding has an effect"


def _problem(outputs: Any, card: ModelCard, classes: int, size: tuple[int, int]) -> str:
    """What is wrong with outputs for images of `size` (height, width), "" when nothing is."""
    if not isinstance(outputs, Mapping):
        return f"{type(outputs).__name__}, expected tensors by name"
    spec = card_spec(card)
    wanted: dict[str, tuple[int, ...]] = {}
    if spec.detector is None:
        wanted["logits"] = (IMAGES, output_steps(spec, size[1]) + spec.lost_steps, classes)
    else:
        side = spec.detector.map_stride
        wanted = dict.fromkeys(spec.detector.maps, (IMAGES, size[0] // side, size[1] // side))
    for name, shape in wanted.items():
        found = outputs.get(name)
        if not isinstance(found, Tensor):
            return f"no {name}, only {', '.join(map(str, outputs)) or 'nothing'}"
        same = tuple(found.shape) == shape
        if spec.detector is not None:  # channels may stand between
            same = found.ndim >= 3 and (found.shape[0], *found.shape[-2:]) == shape
        if not same or not found.is_floating_point():
            sides = ", channels between" if spec.detector is not None and found.ndim > 3 else ""
            return f"{name} as {found.dtype} {tuple(found.shape)}, expected floating {shape}{sides} for {IMAGES} images"
    return ""
