"""`ocrctl model`: the architectures, and what a trained model says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import SPECS, ModelSpec


@dataclass(frozen=True)
class ModelInfo:
    """A trained model: its file, card, number of weights and size in bytes."""

    path: Path
    card: ModelCard
    parameters: int
    bytes: int


def list_models() -> list[ModelSpec]:
    """All architectures."""
    return list(SPECS.values())


def model_info(model: str) -> ModelInfo:
    """What the model at `model` (checkpoint, ONNX file, run folder) says of itself. Raises InputError when it is none."""
    from ocrctl.inference.locate import locate

    path = locate(model)
    if path.suffix == ".onnx":
        from ocrctl.inference.onnx_backend import read_card

        card, parameters = read_card(path)
    else:
        from ocrctl.models.checkpoint import load_checkpoint

        card, weights = load_checkpoint(path)
        parameters = sum(w.numel() for name, w in weights.items() if "running_" not in name and "num_batches" not in name)
    return ModelInfo(path, card, parameters, path.stat().st_size)
