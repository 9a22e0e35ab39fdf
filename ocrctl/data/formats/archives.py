"""Read zip archives from outside: the declared sizes are checked before any part is unpacked."""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ocrctl.config.limits import limit, variable
from ocrctl.errors import InputError
from ocrctl.files.regular import check_regular

# Errors of the standard library for a damaged archive, besides OSError; NotImplementedError: an unsupported method,
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
    """Return the unpacked size in bytes of all parts of `archive`, the file at `path`, as its directory states it.

    Raises InputError when it is more than `limits.unpack_ratio` times the size of the file and more than
    `limits.unpack_free`. zipfile never unpacks more than the directory states.
    """
    size, unpacked = os.path.getsize(path), sum(part.file_size for part in archive.infolist())
    if unpacked > max(limit("limits.unpack_free"), limit("limits.unpack_ratio") * size):
        raise InputError(
            f"{path}: {size} bytes would unpack to {unpacked}, more than {limit('limits.unpack_ratio')} times as much.",
            hint=f"if you trust the file: {variable('limits.unpack_ratio')}={unpacked // max(1, size) + 1}",
        )
    return unpacked


def zipped_texts(path: Path) -> list[tuple[str, str]]:
    """Read name and content of each text in the zip, lines separated by \\n, without a BOM. Raises InputError for a
    damaged zip, or one that unpacks to too much."""
    texts = []
    where = str(path)
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            check_unpacked_size(path, archive)
            parts = [info for info in archive.infolist() if _is_text(info)]
            unpacked, most = sum(info.file_size for info in parts), limit("limits.zip_text_bytes")
            if unpacked > most:
                raise InputError(
                    f"{path}: unpacks to {unpacked} bytes, the limit of label texts is {most}.",
                    hint=f"if you trust the file: {variable('limits.zip_text_bytes')}={unpacked}",
                )
            for info in parts:
                where = f"{path}/{info.filename}"
                content = archive.read(info).decode("utf-8-sig")
                texts.append((info.filename, content.replace("\r\n", "\n").removesuffix("\r")))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8 text, found byte 0x{error.object[error.start]:02x}.") from error
    except (OSError, *DAMAGED) as error:
        raise InputError(f"{where}: cannot be read as a zip ({str(error) or type(error).__name__}).") from error
    return texts


def _is_text(info: zipfile.ZipInfo) -> bool:
    """Whether a part is a label text; macOS adds other files beside each file."""
    return (
        not info.is_dir()
        and PurePosixPath(info.filename).suffix.lower() == ".txt"
        and not info.filename.startswith("__MACOSX/")
    )
