"""Output folders: claimed by one process, collected beside OUT, renamed to OUT once they are whole.

While a command writes the folder OUT it holds OUT.partial.lock, and collects in OUT.partial. That folder carries the
file MARKER, which names the command. What a killed command left is removed by the next one of the same kind, or
continued; one of another kind refuses it, and a folder without the marker is refused by all: it is not ours. No OUT
may be a partial folder or lie in one (`files.partial`).
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

_MOST = 1 << 16  # bytes read of a marker
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}


def partial_folder(out: Path) -> Path:
    """Where `out` is collected until it is whole: beside it, of a link beside what it leads to."""
    if out.name in ("", "..") or out.is_symlink():  # "." and its like have no name to add to
        out = Path(os.path.realpath(out))
    return out.with_name(out.name + SUFFIX)


def check_empty(out: Path) -> None:
    """Raise UsageError when `out` is a file or holds anything."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} exists already.", hint="name a new folder, or an empty one")
    except OSError as error:
        raise cannot_write(out, error) from error


def is_incomplete(out: Path) -> bool:
    """Whether a command writes `out` now, or was killed while it did: `claim` tells which, and ends what is left."""
    if not os.path.realpath(out).strip(os.sep):  # nothing stands beside the root
        return False
    partial = partial_folder(out)
    return partial.with_name(partial.name + ".lock").exists() or (out / MARKER).exists()


@contextmanager
def new_folder(out: Path, command: str) -> Iterator[Path]:
    """A folder to write into that becomes `out` when the block ends; when it ends by an error, nothing stays.

    `command` is the name of the command, such as `dataset crop`. Raises UsageError when `out` is taken, when another
    process writes it or when what stands at OUT.partial is not this command's, InputError when it cannot be written,
    ResumableStop when the disk is full.
    """
    refuse_output_name(out)
    if not is_incomplete(out):
        check_empty(out)
    with claim(out, command) as claimed:
        check_empty(out)  # the process that held it may have finished
        claimed.begin()
        try:
            yield claimed.partial
            claimed.publish()
        except OSError as error:
            raise cannot_write(out, error) from error
        finally:
            claimed.discard()


@contextmanager
def claim(out: Path, command: str, goes_on: str = "") -> Iterator[Claim]:
    """Hold `out` for `command`; `goes_on` is a command line that continues it once it was killed, "" where none does.

    Raises UsageError naming the process that holds it, and for a name that is reserved for partial folders; InputError
    when the folder above cannot be written to.
    """
    refuse_output_name(out)
    partial = partial_folder(out)
    with exclusive_lock(partial, name=out):
        final = partial.with_name(partial.name.removesuffix(SUFFIX))
        if _command_of(final) is not None:  # killed when it was in place, and all that was left to do is this
            (final / MARKER).unlink()
        real = os.path.realpath(partial)
        own.add(real)
        try:
            yield Claim(out, final, partial, command, goes_on)
        finally:
            own.discard(real)


@contextmanager
def shared_folder(folder: Path) -> Iterator[None]:
    """Hold an output folder that may hold other files already; one that this made is removed when it stays empty.

    Raises UsageError naming the process that holds it, InputError when it cannot be written to.
    """
    new = not os.path.lexists(folder)
    try:
        with exclusive_folder_lock(folder):
            yield
    finally:
        if new:
            with suppress(OSError):  # it holds something
                folder.rmdir()


class Claim:
    """An output folder that this process alone may write. `partial` is the folder to write into."""

    def __init__(self, out: Path, final: Path, partial: Path, command: str, goes_on: str) -> None:
        self.out, self.partial = out, partial
        self._final, self._command, self._goes_on = final, command, goes_on

    def has_leftover(self) -> bool:
        """Whether an interrupted command of this kind left its partial folder. Raises UsageError when what stands there
        is another command's, or not ours."""
        if not os.path.lexists(self.partial):
            return False
        owner = _command_of(self.partial)
        if owner is None:
            raise UsageError(
                f"{self.partial}: is in the way, and no command of ocrctl made it.",
                hint="move it, or write to another path",
            )
        command, goes_on = owner
        if command not in ("", self._command):
            then = f"go on with it: {goes_on}" if goes_on else f"run `ocrctl {command}` to {self.out} again"
            raise UsageError(
                f"{self.partial}: holds what an interrupted `ocrctl {command}` wrote.",
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
        owner = {"command": self._command, "goes_on": self._goes_on}
        try:
            new.mkdir()
            (new / MARKER).write_text(json.dumps(owner) + "\n", encoding="utf-8")
            os.rename(new, self.partial)
        except OSError as error:
            (new / MARKER).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                new.rmdir()
            if error.errno in _TAKEN:
                raise UsageError(f"{self.partial} exists by now; another program made it.") from error
            raise

    def publish(self) -> None:
        """Rename the partial folder to `out`, which must be free, in one step. Raises UsageError when it is not."""
        sync_tree(self.partial)
        try:
            if os.name == "nt" and self._final.exists():
                self._final.rmdir()
            os.rename(self.partial, self._final)
        except OSError as error:
            if error.errno in _TAKEN:
                raise UsageError(f"{self.out} exists by now; another program made it.") from error
            raise
        (self._final / MARKER).unlink()
        sync_folder(self._final.parent)

    def discard(self) -> None:
        """Remove the partial folder, if it is still there."""
        if os.path.lexists(self.partial):
            _remove(self.partial)


def _command_of(folder: Path) -> tuple[str, str] | None:
    """Command and continuation that the marker in `folder` names, ("", "") when it was killed before there was more
    than the marker; None when it is no folder of ours."""
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return None
        names = os.listdir(folder)
        marker = folder / MARKER
        if MARKER in names and stat.S_ISREG(os.lstat(marker).st_mode):
            with marker.open("rb") as file:
                owner = json.loads(file.read(_MOST))
            return str(owner["command"]), str(owner["goes_on"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # cut off while it was written
        pass
    return ("", "") if folder.name.endswith(SUFFIX) and names in ([], [MARKER]) else None


def _remove(folder: Path) -> None:
    """Delete a folder of ours, the marker last: what a kill leaves of it is still ours."""
    for entry in list(os.scandir(folder)):
        if entry.name != MARKER:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    (folder / MARKER).unlink(missing_ok=True)
    folder.rmdir()
