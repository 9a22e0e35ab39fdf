"""`ocrctl model list` and `info`: the architectures, the default models, and the card of a trained model."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.core.model.figures import ModelFigures, built_in_figures
from ocrctl.errors import InputError, PluginError
from ocrctl.inference.default_models import DefaultModel, default_models, default_of
from ocrctl.models.card import read_card
from ocrctl.models.onnx_tensors import damaged_onnx
from ocrctl.models.registry import specs


@dataclass(frozen=True)
class TrainedModel:
    """A trained model: path, card, number of parameters and file size in bytes; `default`: what the manifest says of a
    default model; `figures`: of its architecture, None for one that this version does not have."""

    path: Path
    card: ModelCard
    parameters: int
    bytes: int
    default: DefaultModel | None = None
    figures: ModelFigures | None = None


@dataclass(frozen=True)
class ModelList:
    """The architectures of `train` with their figures, None where a plug-in cannot build its model, and the default
    models."""

    models: list[ModelSpec]
    figures: list[ModelFigures | None]
    weights: list[DefaultModel]


def list_models(*, measure: bool = False, progress: Callable[[int, int], None] = lambda done, total: None) -> ModelList:
    """Return all architectures and default models. measure: time each architecture on this machine."""
    found: list[ModelFigures | None] = []
    models = list(specs().values())
    for number, spec in enumerate(models):
        progress(number, len(models))
        try:
            found.append(_figures(spec, measure=measure))
        except PluginError:  # `train` says what is wrong with it
            found.append(None)
    progress(len(models), len(models))
    return ModelList(models, found, list(default_models().values()))


def _figures(spec: ModelSpec, *, measure: bool) -> ModelFigures:
    """Return the figures of an architecture: counted for a plug-in, else those of the package, which need no torch."""
    if not spec.plugin and not measure:
        return built_in_figures()[spec.name]
    from ocrctl.core.model.measure import default_card, latency, model_figures

    card = default_card(spec)
    figures = model_figures(card) if spec.plugin else built_in_figures()[spec.name]
    return replace(figures, latency_ms=latency(card)) if measure else figures


def model_info(model: str, *, figures: bool = False, measure: bool = False) -> TrainedModel:
    """Read card and size of `model` (checkpoint, ONNX file, run folder).

    figures: count FLOPs as well, where this version has its architecture. measure: time it on this machine. Raises
    InputError when it is not a model.
    """
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
    counted = None
    if (figures or measure) and card.arch in specs():
        from ocrctl.core.model.measure import model_figures, trained_latency

        with suppress(PluginError):
            counted = replace(model_figures(card), latency_ms=trained_latency(path) if measure else None)
    return TrainedModel(path, card, parameters, path.stat().st_size, default_of(path), counted)


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
