"""Manage the target folder of a build: what may be replaced, the partial folder, and the final rename."""

from __future__ import annotations

import os
from pathlib import Path

from ocrctl.data.lmdb.file import LmdbFile
from ocrctl.data.lmdb.reader import close_environments, data_file, image_key, label_key
from ocrctl.data.lmdb.word_source import WordSource
from ocrctl.data.lmdb.writer import STATE_KEY
from ocrctl.errors import InputError, UsageError
from ocrctl.files.durable import sync_folder
from ocrctl.files.folder import Claim


def check_target(source: WordSource, out: Path, overwrite: bool) -> None:
    """Raise UsageError when `out` holds something that may not be replaced."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if data_file(out) is None or not out.is_dir():
            raise UsageError(f"{out} exists and is no LMDB folder: choose another path, or remove it.")
        if not overwrite:
            raise UsageError(f"{out} exists already.", hint="--overwrite replaces it when the new one is complete.")
        if os.path.realpath(out) == os.path.realpath(source.name):
            raise UsageError(f"{out} is both source and target: choose another target.")


def begin(claimed: Claim, overwrite: bool, resume: bool) -> None:
    """Create the partial folder, or keep that of an interrupted build that can be resumed. Raises UsageError when there
    is one and neither `overwrite` nor `resume` is set, or when it does not belong to a build."""
    if claimed.has_leftover():
        if resume and _can_go_on(claimed.partial):
            return
        if not overwrite and not resume:
            raise UsageError(
                f"{claimed.partial} holds an interrupted build of {claimed.out}.",
                hint="--resume continues it, --overwrite starts over.",
            )
    claimed.begin()


def _can_go_on(partial: Path) -> bool:
    """Whether an interrupted build can be resumed. A build that ended between its last commit and the rename has no
    state any more, so its source is unknown. Raises InputError for a damaged file, which the lmdb library must not
    open: it would end the process."""
    path = partial / "data.mdb"
    if not path.exists() or not path.stat().st_size:
        return True
    file = None
    try:
        file = LmdbFile(path, str(partial))
        state = file.get(STATE_KEY)
        for key in (image_key(file.entries), label_key(file.entries)):  # the page that a resumed build appends to
            file.get(key)
        return state is not None or file.entries == 0
    except InputError as error:
        raise InputError(error.message, hint="--overwrite starts over") from error
    finally:
        if file is not None:
            file.close()


def publish(claimed: Claim, out: Path) -> None:
    """Replace `out` with the finished file of the claimed folder, in one step."""
    close_environments()
    if data_file(out) is None:
        claimed.publish()
        return
    # Within the folder, because only a file can be replaced in one step.
    os.replace(claimed.partial / "data.mdb", out / "data.mdb")
    (out / "lock.mdb").unlink(missing_ok=True)
    sync_folder(out)
    claimed.discard()
