"""Weight files of other projects: tensors by name, and which published model they are.

Each family that can use such files names a function, `ModelFamily.published`, from a WeightFile to a Converted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_card import CARD_KEY
from ocrctl.errors import InputError
from ocrctl.files.regular import check_regular
from ocrctl.models.family import load_part
from ocrctl.models.onnx_tensors import read_onnx_tensors
from ocrctl.models.registry import families
from ocrctl.models.safetensors_file import is_safetensors, read_safetensors

Tensors = dict[str, NDArray[np.generic]]

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "params")
"""keys under which training scripts save the tensors"""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""prefixes that DataParallel, Lightning modules and torch.compile put before every name"""
PICKLE, ZIP, ONNX = b"\x80", b"PK\x03\x04", b"\x08"
"""first bytes of the two formats of torch.save, and of a protobuf message that begins with field 1, ir_version"""
SUPPORTED = "supported are PyTorch files of tensors (.pth, .pt, .ckpt), safetensors and ONNX files"


@dataclass(frozen=True)
class WeightFile:
    """Content of a weight file.

    tensors: by name, in the order of the file; of a PyTorch file without the prefixes that all names share (PREFIXES).
    They may be views that cannot be written to. metadata: metadata_props of an ONNX file, or the hyperparameters of a
    Lightning checkpoint, values other than strings as JSON; a file that ocrctl wrote has its model card there. opset:
    of an ONNX file, else 0.
    """

    path: Path
    kind: Literal["onnx", "state_dict"]
    tensors: Tensors
    metadata: Mapping[str, str] = field(default_factory=dict)
    opset: int = 0

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of the tensor `name`, () without one."""
        return self.tensors[name].shape if name in self.tensors else ()


@dataclass(frozen=True)
class Converted:
    """A published model in the terms of this package.

    arch: architecture. tensors: by the names of its model, channels of the first convolution in the order RGB.
    description: what the file is, for messages: "published weights of ...". charset: ordered characters, "" for a
    detector, None when the file does not say it. card: fields of the ModelCard other than those that the architecture's
    spec gives, such as `mean`, `std`, `max_label_length`, `thresholds`, `model`.
    """

    arch: str
    tensors: Tensors
    description: str
    charset: str | None = ""
    card: Mapping[str, Any] = field(default_factory=dict)


def read_weight_file(path: Path) -> WeightFile:
    """Read a PyTorch, safetensors or ONNX file, told apart by content. No code in it is run.

    Raises InputError when it cannot be read, has another format, is damaged, or holds anything but tensors.
    """
    if is_torch_file(path):
        from ocrctl.models.torch_file import read_torch_file

        return from_torch(read_torch_file(path, "file of weights", SUPPORTED), path)
    if is_safetensors(path):
        tensors, metadata = read_safetensors(path)
        if not tensors:
            raise InputError(f"{path}: holds no tensors.")
        return WeightFile(path, "state_dict", without_prefixes(tensors), metadata)
    if path.suffix != ".onnx" and not _first_bytes(path).startswith(ONNX):
        raise InputError(f"{path}: expected a PyTorch, safetensors or ONNX file, found none of them.", hint=SUPPORTED)
    found = read_onnx_tensors(path)
    return WeightFile(path, "onnx", found.tensors, found.metadata, found.opset)


def is_torch_file(path: Path) -> bool:
    """Return whether the file at `path` begins like those of torch.save. Raises InputError when it cannot be read."""
    return _first_bytes(path).startswith((PICKLE, ZIP))


def from_torch(raw: Any, path: Path) -> WeightFile:
    """Create the WeightFile of a PyTorch file with the content `raw`. Raises InputError when it holds anything but
    tensors."""
    import torch

    from ocrctl.models.torch_file import weights_of

    named = raw
    if isinstance(raw, Mapping) and not any(isinstance(value, torch.Tensor) for value in raw.values()):
        named = next((raw[key] for key in WRAPPERS if isinstance(raw.get(key), Mapping)), raw)
    weights = weights_of(named, str(path))
    if not weights:
        raise InputError(f"{path}: holds no tensors.")
    tensors: Tensors = {}
    for name, value in weights.items():
        value = value.detach().resolve_neg()
        try:
            tensors[name] = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        except TypeError as error:
            raise InputError(
                f"{path}: {name} is {value.dtype}, which is not supported.", hint="save it as float16 or float32"
            ) from error
    metadata = _metadata(raw.get("hyper_parameters"))
    if CARD_KEY in raw:
        metadata[CARD_KEY] = str(raw[CARD_KEY])
    return WeightFile(path, "state_dict", without_prefixes(tensors), metadata)


def recognise(file: WeightFile) -> Converted | None:
    """Convert `file` to the published model it contains, None when no family knows it. Raises InputError when a family
    knows it, but cannot use it."""
    for family in families().values():
        found: Converted | None = load_part(family.published)(file) if family.published else None
        if found is not None:
            return found
    return None


def without_prefixes(tensors: Tensors) -> Tensors:
    """Return `tensors` without the PREFIXES that all names share."""
    while tensors and (prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), None)):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _metadata(settings: Any) -> dict[str, str]:
    """The hyperparameters that JSON can hold, as text."""
    found = {}
    for name, value in settings.items() if isinstance(settings, Mapping) else ():
        try:
            found[str(name)] = value if isinstance(value, str) else json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            continue
    return found


def _first_bytes(path: Path) -> bytes:
    try:
        check_regular(path)
        with path.open("rb") as file:
            found = file.read(4)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if not found:
        raise InputError(f"{path}: expected a file of weights, found an empty file.")
    return found
