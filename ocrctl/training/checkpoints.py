"""Checkpoints written whole or not at all (models/checkpoint.py reads them)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from ocrctl.errors import ResumableStop
from ocrctl.files.atomic import open_atomic
from ocrctl.files.durable import system_error
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.shell import shell_quote


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint writing, made atomic: temporary name, fsync, rename. `check` sees what was read before it
    is restored, and raises what is wrong with it."""

    check: Callable[[dict[str, Any], Path], None] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint atomically. Raises ResumableStop when the disk is full; the old file at `path` is kept."""
        save_atomically(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Load with weights_only: nothing in the file is executed."""
        raw = read_checkpoint(Path(path))
        if self.check is not None:
            self.check(raw, Path(path))
        return raw


def save_atomically(checkpoint: dict[str, Any], path: Path) -> None:
    """Write `checkpoint` to `path`. Raises ResumableStop, leaving the old file, when it cannot be written."""
    write_atomically(path, lambda file: torch.save(checkpoint, file), "the checkpoint")


def write_atomically(path: Path, write: Callable[[Any], Any], what: str = "it") -> None:
    """Call `write` for a new file, sync it, and rename it to `path`. Raises ResumableStop, leaving the old file, when
    it cannot be written; `what` names it there."""
    try:
        with open_atomic(path) as file:
            write(file)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a failed write into a RuntimeError
        raise cannot_save(path, what, error) from error


def cannot_save(path: Path, what: str, error: OSError | RuntimeError) -> ResumableStop:
    """Return the error to raise when `what` could not be written to `path`, a file of a run folder."""
    system = system_error(error)
    full = system is not None and system.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = (system.strerror or str(system)).lower() if system else str(error).splitlines()[0]
    before = "; the file written before it is intact" if path.exists() else ""
    folder = next((above for above in path.parents if (above / "config.toml").exists()), path.parent)
    return ResumableStop(
        f"{path}: {what} could not be written, {'the disk is full' if full else reason}{before}.",
        hint=f"{'free some space' if full else 'remove the cause'}, then go on with: "
        f"ocrctl train --resume -o {shell_quote(folder)}",
    )
