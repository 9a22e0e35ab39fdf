"""Read safetensors files (https://huggingface.co/docs/safetensors): a JSON header, then the numbers of every tensor."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
          "BOOL": "?", "BF16": "<u2"}  # fmt: skip
LENGTH = 8  # bytes of the header's length


def is_safetensors(path: Path) -> bool:
    """Return whether `path` begins as a safetensors file does; False for one that cannot be read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(LENGTH + 1)
    except OSError:
        return False
    return start[LENGTH:] == b"{" and int.from_bytes(start[:LENGTH], "little") <= size - LENGTH


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """Read tensors by name and metadata of the file at `path`; bfloat16 becomes float32. Tensors are views of its
    content and cannot be written to. Raises InputError when it cannot be read, or is damaged."""
    try:
        content = path.read_bytes()
        end = LENGTH + int.from_bytes(content[:LENGTH], "little")
        header: dict[str, Any] = json.loads(content[LENGTH:end])
        metadata = {str(name): str(value) for name, value in header.pop("__metadata__", {}).items()}
        tensors = {name: _tensor(content, end, **entry) for name, entry in header.items()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: a damaged safetensors file ({str(error)[:80]}).", hint="download or copy it again"
        ) from error
    return tensors, metadata


def _tensor(content: bytes, start: int, dtype: str, shape: list[int], data_offsets: list[int]) -> NDArray[np.generic]:
    first, last = data_offsets
    count = math.prod(shape)
    kind = np.dtype(DTYPES[dtype])
    if not 0 <= first <= last <= len(content) - start or last - first != count * kind.itemsize:
        raise ValueError(f"a tensor of shape {shape} at bytes {first} to {last}")
    values: NDArray[np.generic] = np.frombuffer(content, kind, count, start + first).reshape(shape)
    if dtype == "BF16":  # the upper half of a float32
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values
