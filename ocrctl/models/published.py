"""Published models of other projects as a model card and weights of this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import ModelSettings
from ocrctl.errors import InputError
from ocrctl.models.build import build_model
from ocrctl.models.card import read_card
from ocrctl.models.finite import refuse_not_finite
from ocrctl.models.registry import get_spec
from ocrctl.models.weight_file import Converted, WeightFile
from ocrctl.shell import shell_quote

COUNTER = "num_batches_tracked"  # of batch normalisation; files of PyTorch before 0.4.1 lack it, and nothing reads it


@dataclass(frozen=True)
class PublishedModel:
    """A published model, converted: what the file is (for messages), card, and weights by the names of the model."""

    description: str
    card: ModelCard
    weights: dict[str, Tensor]


def published_model(file: WeightFile, found: Converted, charset: str | None = None) -> PublishedModel:
    """Return the model that `found`, recognised in `file`, describes.

    charset: its ordered characters, where the caller knows them; they take precedence over those of the file.
    Raises InputError when the charset is unknown or does not fit the head, and when tensors are missing, unknown, of
    other shapes, or not finite.
    """
    spec = get_spec(found.arch)
    chars = found.charset if charset is None else charset
    if chars is None:
        raise InputError(
            f"{file.path}: holds {found.description}, but not its charset.",
            hint=f"ocrctl model import {shell_quote(file.path)} --as {found.arch} --charset FILE -o MODEL",
        )
    card = _card(spec, chars, found.card, file.path)
    model = build_model(card)
    own = model.state_dict()
    weights = {name: _tensor(value) for name, value in found.tensors.items() if name in own or not _counts(name)}
    weights.update({name: own[name] for name in own if _counts(name) and name not in weights})
    _check_names(file, found, own, weights)
    _check_classes(file, found, card, own, weights, model.class_tensors)
    for name, value in own.items():
        if weights[name].shape != value.shape:
            raise InputError(
                f"{file.path}: {name} has the shape {tuple(weights[name].shape)}, {spec.name} needs "
                f"{tuple(value.shape)}.",
                hint=f"the file is of a variant of {spec.name} that is not supported",
            )
    refuse_not_finite(weights, file.path)
    return PublishedModel(found.description, card, {name: weights[name] for name in own})


def _card(spec: ModelSpec, charset: str, changed: Mapping[str, Any], path: Path) -> ModelCard:
    """The card of architecture `spec`, with the fields that are `changed`. Raises InputError for values that no card
    may hold."""
    settings = ModelSettings()
    if spec.task == "detection":
        card = detection_card(spec, settings)
    else:
        card = ModelCard(
            arch=spec.name, task=spec.task, charset=charset, height=spec.input_height, width=spec.input_width,
            channels=spec.channels, max_label_length=spec.max_label_length, preprocessing=spec.resize,
            model={name: getattr(settings, name) for name in spec.options}, plugin=spec.plugin,
            kept=spec.kept if spec.keeps_aspect else None,
        )  # fmt: skip
    card = replace(card, **{**changed, "model": {**card.model, **changed.get("model", {})}})
    return read_card(card.to_json(), str(path))


def _counts(name: str) -> bool:
    return name.endswith(COUNTER)


def _tensor(value: np.ndarray[Any, Any]) -> Tensor:
    """A copy of its own, floating-point numbers as float32."""
    return torch.from_numpy(np.array(value, np.float32 if value.dtype.kind == "f" else None))


def _check_names(file: WeightFile, found: Converted, own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raise InputError for tensors that are missing or unknown."""
    for names, says in (
        (set(weights) - set(own), f"holds tensors that {found.arch} does not have"),
        (set(own) - set(weights), f"lacks tensors that {found.arch} needs"),
    ):
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            opset = f"; its ONNX opset is {file.opset}" if file.opset else ""
            raise InputError(
                f"{file.path}: {says} ({min(names)}{others}{opset}).",
                hint="use the file as it was published; a model that was changed or exported anew has other tensors",
            )


def _check_classes(
    file: WeightFile,
    found: Converted,
    card: ModelCard,
    own: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    class_tensors: tuple[str, ...],
) -> None:
    """Raise InputError when the charset is longer or shorter than the head."""
    for name in class_tensors:
        given, wanted = weights[name].shape[0], own[name].shape[0]
        if given != wanted:
            characters = given - (wanted - len(card.charset))
            raise InputError(
                f"{file.path}: its head has {given} classes, which is {characters} characters; "
                f"the charset has {len(card.charset)}.",
                hint=f"give its own charset, in its order: ocrctl model import {shell_quote(file.path)} "
                f"--as {found.arch} --charset FILE -o MODEL",
            )
