"""Where a build goes: what may stand there, the folder it collects in, and how that takes the place of an older one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ocrctl.data.lmdb import close_environments, data_file
from ocrctl.data.lmdb_write import LmdbWriter, sync_folder
from ocrctl.data.words import WordSource
from ocrctl.errors import UsageError


def partial_folder(out: Path) -> Path:
    """Where a build of `out` collects its data until it is whole: beside it, so that a rename puts it in place."""
    if out.name in ("", ".."):  # "." and its like have no name to add to
        out = out.resolve()
    return out.with_name(out.name + ".partial")


def check_target(source: WordSource, out: Path, overwrite: bool) -> None:
    """Raises UsageError when `out` holds something that may not be replaced."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if data_file(out) is None or not out.is_dir():
            raise UsageError(f"{out} exists and is no LMDB folder: name another, or remove it yourself.")
        if not overwrite:
            raise UsageError(f"{out} exists already.", hint="--overwrite replaces it once the new one is whole.")
        if os.path.realpath(out) == os.path.realpath(source.name):
            raise UsageError(f"{out} is both source and target: name another target.")


def clear_partial(out: Path, overwrite: bool, resume: bool) -> None:
    """Remove an interrupted build of `out` that is not to go on, or cannot. Raises UsageError when nobody said so."""
    partial = partial_folder(out)
    if partial.exists() and not (resume and _can_go_on(partial)):
        if not overwrite and not resume:
            raise UsageError(
                f"{partial} holds an interrupted build of {out}.",
                hint="--resume goes on with it, --overwrite starts over.",
            )
        shutil.rmtree(partial)


def _can_go_on(partial: Path) -> bool:
    """False for a build that ended between its last commit and the rename: it keeps no state any more, so nothing
    tells whether its images are those of this source."""
    with LmdbWriter(partial) as writer:
        return writer.state is not None or writer.entries == 0


def put_in_place(partial: Path, out: Path) -> None:
    """Make the whole file at `partial` the one at `out`, in one step."""
    close_environments()
    if out.exists():
        # Within the folder, because only a file can be replaced in one step.
        os.replace(partial / "data.mdb", out / "data.mdb")
        (out / "lock.mdb").unlink(missing_ok=True)
        shutil.rmtree(partial)
        sync_folder(out)
    else:
        os.rename(partial, out)
    sync_folder(out.parent)
