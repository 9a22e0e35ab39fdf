"""Lock a run folder for one training process."""

from __future__ import annotations

from pathlib import Path

from ocrctl.files import atomic
from ocrctl.files.lock import Lock, lock_folder


def remove_temporary_files(run: Path) -> None:
    """Remove the temporary files of a killed process in `run`. The caller holds the lock."""
    for folder in (run, run / "quarantine", *run.glob("quarantine/step-*")):
        atomic.remove_temporary_files(folder)


def unlock(lock: Lock | None) -> None:
    """Release the lock of `lock_run`."""
    if lock is not None:
        lock.release()


def lock_run(run: Path) -> Lock:
    """Lock `run` for training until this process ends; returns the lock for `unlock`.

    Raises UsageError naming the process that trains there, InputError when the folder cannot be written to.
    """
    return lock_folder(run, "{name}: {owner} is training there.")
