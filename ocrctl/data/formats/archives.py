"""Zip archives that come from outside: the sizes that one declares are checked before any part is unpacked."""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from pathlib import Path

from ocrctl.config.limits import limit, variable
from ocrctl.errors import InputError

# What the standard library raises for a damaged archive, besides OSError; NotImplementedError: a method it lacks,
# RuntimeError: encryption.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    RuntimeError,
    NotImplementedError,
    ValueError,
    OverflowError,
)


def check_unpacked_size(path: Path, archive: zipfile.ZipFile) -> int:
    """Bytes that all parts of `archive`, the file at `path`, unpack to, by its directory.

    Raises InputError when that is more than `limits.unpack_ratio` times the size of the file and more than
    `limits.unpack_free`. The reader never unpacks more than the directory declares.
    """
    size, unpacked = os.path.getsize(path), sum(part.file_size for part in archive.infolist())
    if unpacked > max(limit("limits.unpack_free"), limit("limits.unpack_ratio") * size):
        raise InputError(
            f"{path}: {size} bytes would unpack to {unpacked}, more than {limit('limits.unpack_ratio')} times as much.",
            hint=f"if the file is trusted: {variable('limits.unpack_ratio')}={unpacked // max(1, size) + 1}",
        )
    return unpacked
