"""Read checkpoints with weights_only, for training and inference."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.data.formats.archives import check_unpacked_size
from ocrctl.errors import InputError
from ocrctl.files.regular import check_regular
from ocrctl.models.card import read_card
from ocrctl.models.family import load_part
from ocrctl.models.finite import refuse_not_finite
from ocrctl.models.registry import families


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
    try:
        with warnings.catch_warnings():  # about the pickle protocol of files that are refused below
            warnings.simplefilter("ignore")
            check_regular(path)
            if zipfile.is_zipfile(path) and (part := _damaged(path)):
                raise InputError(f"{path}: damaged, the checksum of {part} in it is wrong.", hint="copy it again")
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such checkpoint.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # other files, and damaged ones, make the unpickler raise nearly anything
        raise InputError(
            f"{path}: not a checkpoint, or none that can be loaded safely.",
            hint="a checkpoint is a .ckpt file from a run folder, such as runs/last/best.ckpt",
        ) from error


def _damaged(path: Path) -> str | None:
    """Name of the first part of a zip whose checksum is wrong; PyTorch does not check them. Raises InputError, before
    anything is unpacked, for one that unpacks to too much."""
    with zipfile.ZipFile(path) as file:
        check_unpacked_size(path, file)
        return file.testzip()


def weights_of(values: Any, where: str) -> dict[str, torch.Tensor]:
    """`values` of a checkpoint as named tensors on the CPU.

    Raises InputError, `where` in front, when they are anything else: other kinds of values or tensors, and views that
    claim more numbers than the file holds.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where} should be named tensors, found {type(values).__name__}.")
    for name, value in values.items():
        found = None
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            found = f"{type(value).__name__} under {repr(name)[:60]}"
        elif value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_complex():
            found = f"{value.dtype}, {value.layout} on {value.device} under {name[:60]}"
        elif value.numel() * value.element_size() > value.untyped_storage().nbytes():
            found = f"{name[:60]} of shape {tuple(value.shape)} over {value.untyped_storage().nbytes()} bytes"
        if found:
            raise InputError(
                f"{where} should be named tensors, found {found}.", hint="use the file as its run wrote it"
            )
    return dict(values)


def load_checkpoint(
    path: Path, *, finite: bool = True, known: bool = True
) -> tuple[ModelCard, dict[str, torch.Tensor]]:
    """Model card and weights, names without the training module's prefix; where training kept a moving average, that is
    the model. Raises InputError as `read_checkpoint`, and for weights that are not finite unless `finite` is False.
    `known` as in `read_card`."""
    raw = read_checkpoint(path)
    card = read_card(raw[CARD_KEY], str(path), known=known)
    prefix = "model."
    held = weights_of(raw["state_dict"], f"{path}: state_dict")
    own = {name[len(prefix) :]: value for name, value in held.items() if name.startswith(prefix)}
    weights = {**own, **weights_of(raw.get("ema", {}), f"{path}: ema")}
    if finite:
        refuse_not_finite(weights, path)
    return card, weights


def count_parameters(weights: dict[str, torch.Tensor]) -> int:
    """Trained numbers among `weights`: all but the statistics of batch normalisation."""
    return sum(w.numel() for name, w in weights.items() if "running_" not in name and "num_batches" not in name)


def load_initial(path: Path) -> tuple[str, str, dict[str, torch.Tensor]]:
    """What a run may start from: (what it is, its charset, weights), of ocrctl's checkpoints and of published weights
    that a family knows. Raises InputError as `read_checkpoint`."""
    raw = _read(path)
    for family in families().values():
        charset = load_part(family.published)(raw) if family.published else None
        if charset is not None:
            published = weights_of(raw, str(path))
            refuse_not_finite(published, path)
            return f"published weights of {family.name}", charset, published
    card, weights = load_checkpoint(path)
    return card.arch, card.charset, weights
