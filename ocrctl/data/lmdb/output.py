"""Where a build goes: what may stand there, the folder it collects in, and how that takes the place of an older one."""

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
    """Raises UsageError when `out` holds something that may not be replaced."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if data_file(out) is None or not out.is_dir():
            raise UsageError(f"{out} exists and is no LMDB folder: name another, or remove it yourself.")
        if not overwrite:
            raise UsageError(f"{out} exists already.", hint="--overwrite replaces it once the new one is whole.")
        if os.path.realpath(out) == os.path.realpath(source.name):
            raise UsageError(f"{out} is both source and target: name another target.")


def begin(claimed: Claim, overwrite: bool, resume: bool) -> None:
    """Make the folder that is built in, or keep that of an interrupted build that is to go on, and can. Raises
    UsageError when there is one and nobody said what to do with it, or it is not a build's."""
    if claimed.has_leftover():
        if resume and _can_go_on(claimed.partial):
            return
        if not overwrite and not resume:
            raise UsageError(
                f"{claimed.partial} holds an interrupted build of {claimed.out}.",
                hint="--resume goes on with it, --overwrite starts over.",
            )
    claimed.begin()


def _can_go_on(partial: Path) -> bool:
    """False for a build that ended between its last commit and the rename: it keeps no state any more, so nothing
    tells whether its images are those of this source. Raises InputError for a damaged one, which the lmdb library must
    not open: it would end the process."""
    path = partial / "data.mdb"
    if not path.exists() or not path.stat().st_size:
        return True
    file = None
    try:
        file = LmdbFile(path, str(partial))
        state = file.get(STATE_KEY)
        for key in (image_key(file.entries), label_key(file.entries)):  # the page that it would go on in
            file.get(key)
        return state is not None or file.entries == 0
    except InputError as error:
        raise InputError(error.message, hint="--overwrite starts over") from error
    finally:
        if file is not None:
            file.close()


def publish(claimed: Claim, out: Path) -> None:
    """Make the whole file in the claimed folder the one at `out`, in one step."""
    close_environments()
    if data_file(out) is None:
        claimed.publish()
        return
    # Within the folder, because only a file can be replaced in one step.
    os.replace(claimed.partial / "data.mdb", out / "data.mdb")
    (out / "lock.mdb").unlink(missing_ok=True)
    sync_folder(out)
    claimed.discard()
