"""Sync files and folders to disk, and turn failed writes into errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrctl.errors import InputError, OcrctlError, ResumableStop

_MANY = 32  # more files than this are synced with one os.sync()


@contextmanager
def disk_errors(base: Path, state: str) -> Iterator[None]:
    """Raise InputError for a failed write in the block, ResumableStop for a full disk; `state` describes the data."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResumableStop(
                f"{base}: the disk is full; {state}.", hint="free some space and run the command again"
            ) from error
        raise InputError(f"{error.filename or base}: cannot be written ({error.strerror}); {state}.") from error


def cannot_write(path: Path, error: OSError) -> OcrctlError:
    """Return the error to raise for a failed write: ResumableStop for a full disk, else InputError."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResumableStop(f"{path}: the disk is full.", hint="free some space and run the command again")
    return InputError(f"{path}: cannot be written ({error.strerror}).")


def write(path: Path, content: bytes) -> Path:
    """Write a file; returns `path`."""
    path.write_bytes(content)
    return path


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and sync it to disk."""
    sync_files([write(path, content)])


def sync_files(files: list[Path]) -> None:
    """Sync `files` to disk; many files at once, since one by one would take minutes."""
    if len(files) > _MANY and hasattr(os, "sync"):
        os.sync()
        return
    for file in files:
        with open(file, "rb+") as stream:
            os.fsync(stream.fileno())


def sync_tree(folder: Path) -> None:
    """Sync every file and folder below `folder` to disk."""
    files: list[Path] = []
    folders: list[Path] = []
    for base, _, names in os.walk(folder):
        folders.append(Path(base))
        files += [Path(base, name) for name in names]
    sync_files(files)
    if len(files) <= _MANY:
        for one in folders:
            sync_folder(one)


def sync_folder(folder: Path) -> None:
    """Sync the entries of `folder`, so that renames are durable; no-op on Windows."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def system_error(error: BaseException) -> OSError | None:
    """Return `error` if it is an OSError, else the first one in its chain of causes; None without one.

    PyTorch's zip writer turns a failed write into a RuntimeError that names only a line of its own source.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, OSError):
            return link
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return None
