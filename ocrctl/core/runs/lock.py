"""One process per run folder."""

from __future__ import annotations

from pathlib import Path

from ocrctl.files import atomic
from ocrctl.files.lock import Lock, lock_folder


def remove_temporary_files(run: Path) -> None:
    """Remove what a killed process had begun to write in `run`; only who holds the lock may."""
    for folder in (run, run / "quarantine", *run.glob("quarantine/step-*")):
        atomic.remove_temporary_files(folder)


def unlock(lock: Lock | None) -> None:
    """Release what `lock_run` returned; None was never held."""
    if lock is not None:
        lock.release()


def lock_run(run: Path) -> Lock:
    """Keep other processes from training in `run` until this one ends; returns the lock for `unlock`.

    Raises UsageError naming the process that trains there, InputError when the folder cannot be written to.
    """
    return lock_folder(run, "{name}: {owner} is training there.")
