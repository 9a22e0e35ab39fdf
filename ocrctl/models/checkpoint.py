"""Read checkpoints with weights_only, for training and inference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.errors import InputError
from ocrctl.models.card import read_card
from ocrctl.models.finite import refuse_not_finite
from ocrctl.models.onnx_tensors import read_onnx_tensors
from ocrctl.models.torch_file import read_torch_file, weights_of
from ocrctl.models.weight_file import ONNX, from_torch, recognise

PREFIX = "model."  # of the names of weights in checkpoints and exported files


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The whole checkpoint on the CPU, loaded with weights_only. Raises InputError when it is none of ocrctl's."""
    raw = _read(path)
    if not isinstance(raw, dict) or CARD_KEY not in raw or "state_dict" not in raw:
        raise InputError(
            f"{path}: a PyTorch file, but not an ocrctl checkpoint (it holds no model card).",
            hint="a checkpoint is a .ckpt file from a run folder, such as runs/last/best.ckpt",
        )
    return raw


def _read(path: Path) -> Any:
    return read_torch_file(
        path, "checkpoint", "a checkpoint is a .ckpt file from a run folder, such as runs/last/best.ckpt"
    )


def load_checkpoint(
    path: Path, *, finite: bool = True, known: bool = True
) -> tuple[ModelCard, dict[str, torch.Tensor]]:
    """Model card and weights, names without the training module's prefix; where training kept a moving average, that is
    the model. An ONNX file of `ocrctl export --precision fp16-weights` is read as well, its float16 weights as float32.
    Raises InputError as `read_checkpoint`, and for weights that are not finite unless `finite` is False. `known` as in
    `read_card`."""
    if is_onnx(path):
        card, weights = _from_onnx(path, known)
    else:
        raw = read_checkpoint(path)
        card = read_card(raw[CARD_KEY], str(path), known=known)
        held = weights_of(raw["state_dict"], f"{path}: state_dict")
        own = {name[len(PREFIX) :]: value for name, value in held.items() if name.startswith(PREFIX)}
        weights = {**own, **weights_of(raw.get("ema", {}), f"{path}: ema")}
    if finite:
        refuse_not_finite(weights, path)
    return card, weights


def is_onnx(path: Path) -> bool:
    """Whether `path` is a file that begins as an ONNX file does."""
    try:
        with path.open("rb") as file:
            return file.read(1) == ONNX
    except OSError:  # reported by whoever reads it
        return False


def _from_onnx(path: Path, known: bool) -> tuple[ModelCard, dict[str, torch.Tensor]]:
    """Model card and weights of an exported file that keeps the weights by name."""
    found = read_onnx_tensors(path)
    if CARD_KEY not in found.metadata:
        raise InputError(f"{path}: an ONNX file, but not one of ocrctl export (it holds no model card).")
    card = read_card(found.metadata[CARD_KEY], str(path), known=known)
    if not any(value.dtype == np.float16 for value in found.tensors.values()):
        raise InputError(
            f"{path}: its weights are folded into the graph and cannot be read.",
            hint="use the checkpoint that it was exported from, or export that with --precision fp16-weights",
        )
    return card, {
        name[len(PREFIX) :]: torch.from_numpy(value.astype(np.float32 if value.dtype == np.float16 else value.dtype))
        for name, value in found.tensors.items()
        if name.startswith(PREFIX)
    }


def count_parameters(weights: dict[str, torch.Tensor]) -> int:
    """Trained numbers among `weights`: all but the statistics of batch normalisation."""
    return sum(w.numel() for name, w in weights.items() if "running_" not in name and "num_batches" not in name)


def load_initial(path: Path) -> tuple[str, str, dict[str, torch.Tensor]]:
    """What a run may start from: (what it is, its charset, weights), of ocrctl's checkpoints and of published weights
    that a family knows. Raises InputError as `read_checkpoint`, and for published weights whose charset is unknown."""
    if is_onnx(path):
        card, weights = load_checkpoint(path)
        return card.arch, card.charset, weights
    raw = _read(path)
    found = recognise(from_torch(raw, path)) if isinstance(raw, Mapping) and CARD_KEY not in raw else None
    if found is None:
        card, weights = load_checkpoint(path)
        return card.arch, card.charset, weights
    if found.charset is None:
        raise InputError(
            f"{path}: holds {found.description}, but not its charset.",
            hint=f"ocrctl model import {path} --as {found.arch} --charset FILE -o MODEL",
        )
    published = {name: torch.from_numpy(value.copy()) for name, value in found.tensors.items()}
    refuse_not_finite(published, path)
    return found.description, found.charset, published
