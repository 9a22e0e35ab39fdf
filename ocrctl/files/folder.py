"""Write output folders atomically: locked, written as OUT.partial, renamed to OUT when complete.

A command holds OUT.partial.lock and writes to OUT.partial, with the file MARKER that names the command. The next
command of the same kind removes or resumes the leftover of a killed one; other commands refuse it. A folder without
MARKER is always refused: ocrctl did not create it. No OUT may be a partial folder or lie in one (`files.partial`).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ocrctl.errors import UsageError
from ocrctl.files.durable import cannot_write, sync_folder, sync_tree
from ocrctl.files.lock import exclusive_folder_lock, exclusive_lock
from ocrctl.files.partial import MARKER, SUFFIX, own, refuse_output_name

_MAX_MARKER = 1 << 16  # bytes read of a marker
_EXISTS = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}


def partial_folder(out: Path) -> Path:
    """Return the partial folder of `out`: beside it, or beside the target of a link."""
    if out.name in ("", "..") or out.is_symlink():  # "." and its like have no name to add to
        out = Path(os.path.realpath(out))
    return out.with_name(out.name + SUFFIX)


def check_empty(out: Path) -> None:
    """Raise UsageError unless `out` is missing or an empty folder."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} exists already.", hint="name a new folder, or an empty one")
    except OSError as error:
        raise cannot_write(out, error) from error


def is_incomplete(out: Path) -> bool:
    """Return whether a command is writing `out` or was killed while writing it; `claim` finds out which."""
    if not os.path.realpath(out).strip(os.sep):  # the root has no siblings
        return False
    partial = partial_folder(out)
    return partial.with_name(partial.name + ".lock").exists() or (out / MARKER).exists()


@contextmanager
def new_folder(out: Path, command: str) -> Iterator[Path]:
    """Create a folder that becomes `out` when the block succeeds, and is removed when it fails.

    `command` is the name of the command, such as `dataset crop`. Raises UsageError when `out` exists, when another
    process writes it or when OUT.partial belongs to another command, InputError when it cannot be written,
    ResumableStop when the disk is full.
    """
    refuse_output_name(out)
    if not is_incomplete(out):
        check_empty(out)
    with claim(out, command) as claimed:
        check_empty(out)  # another process may have finished it
        claimed.begin()
        try:
            yield claimed.partial
            claimed.publish()
        except OSError as error:
            raise cannot_write(out, error) from error
        finally:
            claimed.discard()


@contextmanager
def claim(out: Path, command: str, resume_command: str = "") -> Iterator[Claim]:
    """Lock `out` for `command`; `resume_command` continues it after a kill, "" if none does.

    Raises UsageError naming the process that holds it, and for a name that is reserved for partial folders; InputError
    when the folder above cannot be written to.
    """
    refuse_output_name(out)
    partial = partial_folder(out)
    with exclusive_lock(partial, name=out):
        final = partial.with_name(partial.name.removesuffix(SUFFIX))
        if _command_of(final) is not None:  # killed between the rename and this step
            (final / MARKER).unlink()
        real = os.path.realpath(partial)
        own.add(real)
        try:
            yield Claim(out, final, partial, command, resume_command)
        finally:
            own.discard(real)


@contextmanager
def shared_folder(folder: Path) -> Iterator[None]:
    """Lock an output folder that may contain other files; a new one is removed if it stays empty.

    Raises UsageError naming the process that holds it, InputError when it cannot be written to.
    """
    new = not os.path.lexists(folder)
    try:
        with exclusive_folder_lock(folder):
            yield
    finally:
        if new:
            with suppress(OSError):  # not empty
                folder.rmdir()


class Claim:
    """A locked output folder; `partial` is the folder to write to."""

    def __init__(self, out: Path, final: Path, partial: Path, command: str, resume_command: str) -> None:
        self.out, self.partial = out, partial
        self._final, self._command, self._resume_command = final, command, resume_command

    def has_leftover(self) -> bool:
        """Return whether an interrupted command of this kind left its partial folder. Raises UsageError when it belongs
        to another command or was not created by ocrctl."""
        if not os.path.lexists(self.partial):
            return False
        owner = _command_of(self.partial)
        if owner is None:
            raise UsageError(
                f"{self.partial}: exists and was not created by ocrctl.",
                hint="move it, or write to another path",
            )
        command, resume_command = owner
        if command not in ("", self._command):
            then = f"resume it: {resume_command}" if resume_command else f"run `ocrctl {command}` to {self.out} again"
            raise UsageError(
                f"{self.partial}: contains the output of an interrupted `ocrctl {command}`.",
                hint=f"{then}; or delete that folder, or write to another path",
            )
        return True

    def begin(self) -> None:
        """Create an empty partial folder, without the leftover of an interrupted command of this kind. Raises as
        `has_leftover`, and as `new_folder` when it cannot be written."""
        left = self.has_leftover()
        try:
            if left:
                _remove(self.partial)
            self._create()
        except OSError as error:
            raise cannot_write(self.partial, error) from error

    def _create(self) -> None:
        """Make the partial folder with its marker in one step: no other command sees it without. Raises UsageError when
        another program made one meanwhile, OSError."""
        new = self.partial.with_name(f".{self.partial.name}.new")  # a name that only the holder of the lock uses
        (new / MARKER).unlink(missing_ok=True)
        if new.exists():
            new.rmdir()
        owner = {"command": self._command, "goes_on": self._resume_command}
        try:
            new.mkdir()
            (new / MARKER).write_text(json.dumps(owner) + "\n", encoding="utf-8")
            os.rename(new, self.partial)
        except OSError as error:
            (new / MARKER).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                new.rmdir()
            if error.errno in _EXISTS:
                raise UsageError(f"{self.partial} exists by now; another program made it.") from error
            raise

    def publish(self) -> None:
        """Rename the partial folder to `out`. Raises UsageError when `out` exists."""
        sync_tree(self.partial)
        try:
            if os.name == "nt" and self._final.exists():
                self._final.rmdir()
            os.rename(self.partial, self._final)
        except OSError as error:
            if error.errno in _EXISTS:
                raise UsageError(f"{self.out} exists already; another program created it.") from error
            raise
        (self._final / MARKER).unlink()
        sync_folder(self._final.parent)

    def discard(self) -> None:
        """Remove the partial folder, if it is still there."""
        if os.path.lexists(self.partial):
            _remove(self.partial)


def _command_of(folder: Path) -> tuple[str, str] | None:
    """Return command and resume command of the marker in `folder`, ("", "") for an unfinished marker; None when ocrctl
    did not create the folder."""
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return None
        names = os.listdir(folder)
        marker = folder / MARKER
        if MARKER in names and stat.S_ISREG(os.lstat(marker).st_mode):
            with marker.open("rb") as file:
                owner = json.loads(file.read(_MAX_MARKER))
            return str(owner["command"]), str(owner["goes_on"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # truncated by a kill
        pass
    return ("", "") if folder.name.endswith(SUFFIX) and names in ([], [MARKER]) else None


def _remove(folder: Path) -> None:
    """Delete a partial folder, the marker last, so that a kill leaves the marker."""
    for entry in list(os.scandir(folder)):
        if entry.name != MARKER:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    (folder / MARKER).unlink(missing_ok=True)
    folder.rmdir()
