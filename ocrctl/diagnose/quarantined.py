"""Read a quarantined step, which training/quarantine.py writes: facts, model and batches, all checked."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.data.formats.archives import DAMAGED, check_unpacked_size
from ocrctl.errors import InputError
from ocrctl.files.regular import check_regular, read_regular
from ocrctl.models.build import build_trained
from ocrctl.models.card import card_tokenizer
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.ocr_model import OCRModel

HINT = "one is a folder such as RUN/quarantine/step-0000123"


class StepFacts(BaseModel):
    """step.json: `seed` is that of the step's random state, `sizes` the samples of each of its batches, `locations`
    names samples by their draw numbers, `sentence` is the verdict of training on `device`; `kept_sizes` and
    `kept_locations` are the same of kept images."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    step: int = Field(ge=0, le=1 << 62)
    seed: int = Field(ge=0, le=(1 << 64) - 1)
    precision: Literal["32-true", "16-mixed", "bf16-mixed"]
    norm_frozen: bool = False
    freeze: int | str | None = None
    label_smoothing: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    sizes: list[Annotated[int, Field(ge=1, le=1 << 20)]] = Field(min_length=1)
    locations: dict[str, str] = Field(validation_alias=AliasChoices("locations", "places"))  # `places`: of 0.1.0
    kept_sizes: list[Annotated[int, Field(ge=0, le=1 << 20)]] = Field(default_factory=list)
    kept_locations: dict[str, str] = Field(default_factory=dict)
    keep_weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    keep_temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    sentence: str = ""
    device: str = "its device"


@dataclass(frozen=True)
class QuarantinedStep:
    """Hold the facts, the model and the batches of a step; a batch has uint8 images (N, C, H, W), int64 ids (N,) and
    targets. base: the --from model and its card, of a step with kept images."""

    facts: StepFacts
    card: ModelCard
    model: OCRModel
    batches: list[dict[str, Any]]
    base: tuple[ModelCard, OCRModel] | None = None


def read_step(folder: Path) -> QuarantinedStep:
    """Read the step in `folder` (RUN/quarantine/step-...). Raises InputError when it is not one, or when its parts do
    not belong together."""
    if not (folder / "step.json").is_file():
        raise InputError(f"{folder}: not a quarantined step (no step.json is there).", hint=HINT)
    try:
        facts = StepFacts.model_validate_json(read_regular(folder / "step.json"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{folder / 'step.json'}: {where or 'it'}: {first['msg'].lower()}.", hint=HINT) from error
    except OSError as error:
        raise InputError(f"{folder / 'step.json'}: cannot be read ({error.strerror}).", hint=HINT) from error
    card, weights = load_checkpoint(folder / "weights.ckpt", finite=False)
    model = build_trained(card, weights, folder / "weights.ckpt")
    arrays = _arrays(folder / "batch.npz")
    batches = [_batch(folder, arrays, n, card) for n in _sized(folder, arrays, facts)]
    base = _base(folder / "base.ckpt", card) if any("kept" in batch for batch in batches) else None
    return QuarantinedStep(facts, card, model, batches, base)


def _base(path: Path, card: ModelCard) -> tuple[ModelCard, OCRModel]:
    """Read the model whose outputs the kept images keep. Raises InputError when it is not of the kind of `card`."""
    base, weights = load_checkpoint(path, finite=False)
    if replace(card, charset=base.charset) != base:
        raise InputError(f"{path}: its model card is not that of weights.ckpt with another charset.", hint=HINT)
    return base, build_trained(base, weights, path)


def _arrays(path: Path) -> dict[str, Tensor]:
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            check_unpacked_size(path, archive)
        with np.load(path) as file:
            return {name: torch.from_numpy(np.ascontiguousarray(file[name])) for name in file.files}
    except (OSError, TypeError, *DAMAGED) as error:  # TypeError: a kind of array that torch does not have
        reason = getattr(error, "strerror", None) or str(error)[:120] or type(error).__name__
        raise InputError(f"{path}: cannot be read as arrays ({reason}).", hint=HINT) from error


def _sized(folder: Path, arrays: dict[str, Tensor], facts: StepFacts) -> range:
    """Numbers of the batches. Raises InputError when an array is of another size than step.json says."""
    for name, value in arrays.items():
        number = name.rpartition(".")[2]
        sizes = facts.kept_sizes if name.startswith("kept/") else facts.sizes
        known = number.isascii() and number.isdigit() and len(number) < 7 and int(number) < len(sizes)
        if not known or value.shape[:1] != (sizes[int(number)],):
            raise InputError(
                f"{folder / 'batch.npz'}: {name[:60]} of shape {tuple(value.shape)} is in no batch of step.json, whose "
                f"sizes are {sizes[:8]}.",
                hint=HINT,
            )
    return range(len(facts.sizes))


def _batch(folder: Path, arrays: dict[str, Tensor], number: int, card: ModelCard) -> dict[str, Any]:
    """Arrays `NAME.number` and `NAME/INNER.number`, as deep as may be, as nested tensors."""
    batch: dict[str, Any] = {}
    for key, value in arrays.items():
        name, _, position = key.rpartition(".")
        if int(position) != number:
            continue
        *groups, last = name.split("/")
        inner: Any = batch
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise InputError(f"{folder / 'batch.npz'}: {name[:60]} lies below an array.", hint=HINT)
        if isinstance(inner.get(last), dict):
            raise InputError(f"{folder / 'batch.npz'}: arrays lie below {name[:60]}.", hint=HINT)
        inner[last] = value.permute(0, 3, 1, 2) if name == "images" and value.ndim == 4 else value
    if problem := _problem(batch, card):
        raise InputError(f"{folder / 'batch.npz'}: batch {number}: {problem}.", hint=HINT)
    return batch


def _widths_problem(widths: Any, images: Tensor, card: ModelCard) -> str:
    """Why `widths` are not those of `images` (N, C, H, W), "" when they are."""
    kept = card.kept
    if kept is None:
        return f"widths are there, but {card.arch} does not keep the aspect ratio"
    if not isinstance(widths, Tensor) or widths.dtype != torch.int64 or widths.shape != images.shape[:1]:
        return "widths should be int64 (N,)"
    width = images.shape[3]
    if width % kept.multiple or not int(widths.min()) >= 1 or kept.batch_width(int(widths.max())) > width:
        return f"widths from {int(widths.min())} to {int(widths.max())} do not fit images {width} pixels wide"
    return ""


def _problem(batch: dict[str, Any], card: ModelCard) -> str:
    """Why the model with `card` cannot learn from `batch`, "" when it can: losses read labels unchecked."""
    if problem := _images_problem(batch, card):
        return problem
    if "kept" in batch:
        kept = batch["kept"] if isinstance(batch["kept"], dict) else {}
        images = kept.get("images")
        if isinstance(images, Tensor) and images.ndim == 4:
            kept = {**kept, "images": images.permute(0, 3, 1, 2)}
        if problem := _images_problem(kept, card):
            return f"kept {problem}"
    if card.task != "recognition":
        return ""
    labels, lengths = batch.get("labels"), batch.get("lengths")
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.ndim != 2:
        return "labels should be int64 (N, L)"
    if not isinstance(lengths, Tensor) or lengths.dtype != torch.int64 or lengths.ndim != 1:
        return "lengths should be int64 (N,)"
    tokenizer = card_tokenizer(card)
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) <= max(tokenizer.num_classes, tokenizer.pad):
        return f"labels should be classes below {tokenizer.num_classes}"
    if not 0 <= int(lengths.min()) <= int(lengths.max()) <= labels.shape[1]:
        return f"lengths should be from 0 to {labels.shape[1]}"
    return ""


def _images_problem(batch: dict[str, Any], card: ModelCard) -> str:
    """Why the model with `card` cannot take the images of `batch` (N, C, H, W) and their widths, "" when it can."""
    images, ids = batch.get("images"), batch.get("ids")
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4:
        return "images should be uint8 (N, H, W, C)"
    words = card.task == "recognition"
    width = images.shape[3] if card.kept is not None else card.width
    if images.shape[1] != card.channels or (words and images.shape[2:] != (card.height, width)):
        return f"images of {tuple(images.shape[1:])}, channels first, are not what {card.arch} takes"
    if (card.kept is not None or "widths" in batch) and (problem := _widths_problem(batch.get("widths"), images, card)):
        return problem
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64 or ids.ndim != 1:
        return "ids should be int64 (N,)"
    return ""
