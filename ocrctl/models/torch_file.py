"""Read PyTorch files without running code from them: weights_only, checksums, one sentence for what is refused."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ocrctl.data.formats.archives import check_unpacked_size
from ocrctl.errors import InputError
from ocrctl.files.regular import check_regular

AGAIN = "download or copy it again"
_ZIP = b"PK\x03\x04"
_OLDER = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""first bytes of the two formats of torch.save: a zip archive, and a pickled magic number"""
_CODE = re.compile(r"GLOBAL ([\w.]+)")  # in the messages of PyTorch


def read_torch_file(path: Path, expected: str, hint: str) -> Any:
    """Read the PyTorch file at `path` to the CPU, loaded with weights_only.

    `expected` and `hint` are for the message about any other file. Raises InputError when the file is none, is damaged
    or holds pickled code.
    """
    try:
        with warnings.catch_warnings():  # about the pickle protocol of files that are refused below
            warnings.simplefilter("ignore")
            check_regular(path)
            if _is_zip(path) and (part := _damaged(path)):
                raise InputError(f"{path}: damaged, the checksum of {part} in it is wrong.", hint=AGAIN)
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such {expected}.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # other files, and damaged ones, make the unpickler raise nearly anything
        if code := _pickled_code(error):
            raise InputError(
                f"{path}: holds pickled code ({code}), which is not run; only files of tensors are read.",
                hint="where you trust the file, save its tensors: torch.save(model.state_dict(), FILE)",
            ) from error
        if _is_cut_off(path):
            raise InputError(f"{path}: a PyTorch file that is cut off or damaged.", hint=AGAIN) from error
        raise InputError(f"{path}: not a {expected}, or none that can be loaded safely.", hint=hint) from error


def _is_cut_off(path: Path) -> bool:
    """Whether a file that cannot be loaded begins as those of torch.save: a zip without the directory at its end, or
    the older format."""
    with path.open("rb") as file:
        start = file.read(len(_OLDER))
    return start == _OLDER or (start.startswith(_ZIP) and not _is_zip(path))


def _is_zip(path: Path) -> bool:
    """Whether a file is a zip with a readable directory; `is_zipfile` raises for one that claims several disks."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return False


def _pickled_code(error: Exception) -> str | None:
    """What code the file of an unpickler's `error` names, None when the error has another cause."""
    message = str(error)
    if "TorchScript" in message:
        return "a TorchScript archive"
    found = _CODE.search(message)
    return found[1][:60] if found else None


def _damaged(path: Path) -> str | None:
    """Name of the first part of a zip whose checksum is wrong; PyTorch does not check them. Raises InputError, before
    anything is unpacked, for one that unpacks to too much."""
    with zipfile.ZipFile(path) as file:
        check_unpacked_size(path, file)
        return file.testzip()


def weights_of(values: Any, where: str) -> dict[str, torch.Tensor]:
    """Return `values` of a checkpoint as named tensors on the CPU.

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
