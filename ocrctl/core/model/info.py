"""`ocrctl model list` and `info`: the architectures, the default models, and the card of a trained model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.errors import InputError
from ocrctl.inference.default_models import DefaultModel, default_models, default_of
from ocrctl.models.card import read_card
from ocrctl.models.onnx_tensors import damaged_onnx
from ocrctl.models.registry import specs


@dataclass(frozen=True)
class TrainedModel:
    """A trained model: path, card, number of parameters and file size in bytes; `default`: what the manifest says of a
    default model."""

    path: Path
    card: ModelCard
    parameters: int
    bytes: int
    default: DefaultModel | None = None


@dataclass(frozen=True)
class ModelList:
    """The architectures of `train`, and the default models."""

    models: list[ModelSpec]
    weights: list[DefaultModel]


def list_models() -> ModelList:
    """Return all architectures and default models."""
    return ModelList(list(specs().values()), list(default_models().values()))


def model_info(model: str) -> TrainedModel:
    """Read card and size of `model` (checkpoint, ONNX file, run folder). Raises InputError when it is not a model."""
    from ocrctl.inference.locate import locate

    found = locate(model)
    path = found.path
    if found.kind == "onnx":
        graph, card = read_onnx(path, known=False)
        parameters = sum(math.prod(tensor.dims) for tensor in graph.graph.initializer)
    else:
        from ocrctl.models.checkpoint import count_parameters, load_checkpoint

        card, weights = load_checkpoint(path, known=False)
        parameters = count_parameters(weights)
    return TrainedModel(path, card, parameters, path.stat().st_size, default_of(path))


def read_onnx(path: Path, *, known: bool = True) -> tuple[Any, ModelCard]:
    """Read the onnx.ModelProto at `path` and its card; `known` as in `models.card.read_card`.

    Raises InputError when it is no ONNX file, or has no card.
    """
    import onnx

    try:
        graph = onnx.load(path)
    except Exception as error:  # protobuf raises its own unrelated classes
        first = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise damaged_onnx(path, first) from error
    text = next((item.value for item in graph.metadata_props if item.key == CARD_KEY), None)
    if text is None:
        raise InputError(
            f"{path}: the ONNX file has no model card of ocrctl.",
            hint="export it with: ocrctl export CHECKPOINT -o DIR",
        )
    return graph, read_card(text, str(path), known=known)
