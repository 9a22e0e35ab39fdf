"""Read checkpoints with weights_only, for training and inference, and write those of `ocrctl model`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.errors import InputError, UsageError
from ocrctl.files.atomic import open_atomic
from ocrctl.files.durable import disk_errors, system_error
from ocrctl.models.build import build_model
from ocrctl.models.card import read_card
from ocrctl.models.family import load_part
from ocrctl.models.finite import refuse_not_finite
from ocrctl.models.published import PublishedModel, published_model
from ocrctl.models.registry import family_of, specs
from ocrctl.models.safetensors_file import is_safetensors
from ocrctl.models.torch_file import read_torch_file, weights_of
from ocrctl.models.weight_file import ONNX, WeightFile, from_torch, read_weight_file, recognise

EXPECTED = (
    "a checkpoint is a .ckpt file from a run folder, such as runs/last/best.ckpt; published weights become one with: "
    "ocrctl model import"
)
PREFIX = "model."  # of the names of weights in checkpoints and exported files


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the whole checkpoint to the CPU, loaded with weights_only. Raises InputError when it is not a checkpoint of
    ocrctl."""
    raw = read_torch_file(path, "checkpoint", EXPECTED)
    if not isinstance(raw, dict) or not _is_checkpoint(raw):
        raise InputError(
            f"{path}: a PyTorch file, but not an ocrctl checkpoint (it holds no model card).",
            hint=EXPECTED,
        )
    return raw


def load_checkpoint(
    path: Path, *, finite: bool = True, known: bool = True
) -> tuple[ModelCard, dict[str, torch.Tensor]]:
    """Read model card and weights, names without the training module's prefix; where training kept a moving average,
    that is the model. An ONNX file of `ocrctl export --precision fp16-weights` is read as well, its float16 weights as
    float32, and a published model of another project is converted.

    Raises InputError when `path` is neither, and for weights that are not finite unless `finite` is False. `known` as
    in `read_card`.
    """
    _, card, weights = _load(path, finite=finite, known=known)
    return card, weights


def load_initial(path: Path) -> tuple[str, ModelCard, dict[str, torch.Tensor]]:
    """Read what a run may start from, (description, card, weights), of the files that `load_checkpoint` reads. Raises
    InputError as that does, and for a published model whose charset is unknown."""
    return _load(path)


def _load(path: Path, *, finite: bool = True, known: bool = True) -> tuple[str, ModelCard, dict[str, torch.Tensor]]:
    """What the model at `path` is, its card and its weights."""
    if is_onnx(path) or is_safetensors(path):
        file = read_weight_file(path)
        if CARD_KEY not in file.metadata:
            return _published(file)
        card = read_card(file.metadata[CARD_KEY], str(path), known=known)
        weights = _from_onnx(file, card)
    else:
        raw = read_torch_file(path, "checkpoint", EXPECTED)
        if not isinstance(raw, Mapping):
            raise _unknown(path, "a PyTorch file")
        if not _is_checkpoint(raw):
            return _published(from_torch(raw, path))
        card = read_card(raw[CARD_KEY], str(path), known=known)
        held = weights_of(raw["state_dict"], f"{path}: state_dict")
        own = {name[len(PREFIX) :]: value for name, value in held.items() if name.startswith(PREFIX)}
        weights = {**own, **weights_of(raw.get("ema", {}), f"{path}: ema")}
    if finite:
        refuse_not_finite(weights, path)
    if "unfold" in card.model and (fold := family_of(card.arch).fold) is not None:
        card, weights = load_part(fold)(card, weights)
    return card.arch, card, weights


def _is_checkpoint(raw: Mapping[str, Any]) -> bool:
    return CARD_KEY in raw and "state_dict" in raw


def _published(file: WeightFile) -> tuple[str, ModelCard, dict[str, torch.Tensor]]:
    """The published model in `file`. Raises InputError when it is none that a family knows."""
    found = recognise(file)
    if found is None:
        raise _unknown(file.path, "an ONNX file" if file.kind == "onnx" else "a file of tensors")
    model: PublishedModel = published_model(file, found)
    return model.description, model.card, model.weights


def _unknown(path: Path, kind: str) -> InputError:
    return InputError(
        f"{path}: {kind}, but not an ocrctl checkpoint (it holds no model card), and no published model that ocrctl "
        "knows.",
        hint="a checkpoint is a .ckpt file from a run folder; docs/how-to/import-weights.md lists the published models",
    )


def write_checkpoint(path: Path, card: ModelCard, weights: Mapping[str, torch.Tensor], **extra: Any) -> None:
    """Write a new checkpoint of `card` and `weights` to `path`, whole or not at all.

    extra: further entries at its top level. Raises UsageError when `path` exists, InputError when it cannot be written,
    ResumableStop when the disk is full.
    """
    state = {PREFIX + name: value.detach().cpu().contiguous() for name, value in weights.items()}
    content = {CARD_KEY: card.to_json(), "state_dict": state, **extra}
    try:
        with disk_errors(path.parent, f"{path} is not written"), open_atomic(path, create=True) as file:
            try:
                torch.save(content, file)
            except RuntimeError as error:  # from its zip writer, without the cause of a failed write
                raise (system_error(error) or InputError(f"{path}: cannot be written ({error}).")) from error
    except InputError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise UsageError(f"{path} exists already.", hint="name a new file, or remove that one") from error
        raise


def is_onnx(path: Path) -> bool:
    """Return whether the file `path` begins like an ONNX file."""
    try:
        with path.open("rb") as file:
            return file.read(1) == ONNX
    except OSError:  # reported by whoever reads it
        return False


def _keeps_weights(file: WeightFile, card: ModelCard) -> bool:
    """Whether an exported file keeps the weights by name: some as float16, or, of a small model, all as float32."""
    if any(value.dtype == np.float16 for value in file.tensors.values()):
        return True
    return card.arch in specs() and all(PREFIX + name in file.tensors for name in build_model(card).state_dict())


def _from_onnx(file: WeightFile, card: ModelCard) -> dict[str, torch.Tensor]:
    """Weights of an exported file that keeps them by name."""
    if not _keeps_weights(file, card):
        raise InputError(
            f"{file.path}: its weights are folded into the graph and cannot be read.",
            hint="use the checkpoint that it was exported from, or export that with --precision fp16-weights",
        )
    return {
        name[len(PREFIX) :]: torch.from_numpy(value.astype(np.float32 if value.dtype == np.float16 else value.dtype))
        for name, value in file.tensors.items()
        if name.startswith(PREFIX)
    }


def count_parameters(weights: dict[str, torch.Tensor]) -> int:
    """Count the trained numbers among `weights`: all but the statistics of batch normalisation."""
    return sum(w.numel() for name, w in weights.items() if "running_" not in name and "num_batches" not in name)
