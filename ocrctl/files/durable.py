"""Writing files so that they outlive a power cut, and what to say when the disk does not take them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrctl.errors import InputError, OcrctlError, ResumableStop

_MANY = 32  # files from which the whole system's writes are waited for at once


@contextmanager
def disk_errors(base: Path, state: str) -> Iterator[None]:
    """Within, a failed write ends as InputError, on a full disk as ResumableStop; `state` says what it leaves."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResumableStop(
                f"{base}: the disk is full; {state}.", hint="free some space and run the command again"
            ) from error
        raise InputError(f"{error.filename or base}: cannot be written ({error.strerror}); {state}.") from error


def cannot_write(path: Path, error: OSError) -> OcrctlError:
    """The error to raise for a failed write: on a full disk the command can be run again, exit 5."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResumableStop(f"{path}: the disk is full.", hint="free some space and run the command again")
    return InputError(f"{path}: cannot be written ({error.strerror}).")


def write(path: Path, content: bytes) -> Path:
    """Write a file; returns `path`."""
    path.write_bytes(content)
    return path


def write_synced(path: Path, content: bytes) -> None:
    """Write a file, and wait until it would outlive a power cut."""
    sync_files([write(path, content)])


def sync_files(files: list[Path]) -> None:
    """Until `files` would outlive a power cut. Of many files, each its own wait would take minutes."""
    if len(files) > _MANY and hasattr(os, "sync"):
        os.sync()
        return
    for file in files:
        with open(file, "rb+") as stream:
            os.fsync(stream.fileno())


def sync_tree(folder: Path) -> None:
    """Until every file below `folder`, and its name, would outlive a power cut."""
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
    """Make renames within `folder` durable, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
