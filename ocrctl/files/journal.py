"""Changing several files so that a kill at any moment leaves them all old or, once reopened, all new; and undoing it.

Beside the label files stands `.ocrctl-journal/0001/`: `plan.json` (which files), `0.old` and `0.new` (their bytes,
either absent where the file is made or removed). It appears by one rename, complete; from then on the change is
decided. Files are then replaced one by one, and `done` is written. Without `done` the set is refused by who reads it,
and the next command that changes it finishes the change first (`recover`). Who changes or takes back holds
`change_lock`, so that two at once are told apart.

A journal may come with a data set of others: no link in it is followed, and no file outside the set is changed by it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ocrctl.errors import InputError, UsageError
from ocrctl.files.durable import disk_errors, sync_files, sync_folder, write, write_synced
from ocrctl.files.lock import exclusive_lock
from ocrctl.files.regular import read_regular
from ocrctl.shell import shell_quote

FOLDER = ".ocrctl-journal"
_HALF = "half of the change is made; the next `dataset clean` or `dataset undo` of this set finishes it"
_LEFT = re.compile(r"\d+\.(?:partial|gone)")  # what a kill leaves of an entry that was not decided, or is forgotten


@contextmanager
def change_lock(base: Path) -> Iterator[None]:
    """Hold the right to change the label files in `base`. Raises UsageError while another process holds it, InputError
    when the folder cannot be written to."""
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(base / FOLDER))
        except UsageError as error:
            raise UsageError(f"{base}: another command changes it now: {error.message}", hint="wait for it") from error
        yield


def has_unfinished_change(base: Path) -> bool:
    """Whether a change in `base` was decided and not ended: its label files may be partly old and partly new."""
    return any((entry / "undoing").exists() or not (entry / "done").exists() for entry in _entries(base))


def change(base: Path, files: Mapping[Path, bytes | None], step: Callable[[str], None] = lambda name: None) -> Path:
    """Replace each of `files` (below `base`) by its new bytes, or remove it (None). Returns the journal entry.

    `step` is called before each step that is visible on disk. Raises InputError when it cannot be written; nothing has
    changed then.
    """
    recover(base)
    for path in files:
        _within(base, path)
    journal = _journal(base)
    number = 1 + max((int(entry.name) for entry in _entries(base)), default=0)
    partial, entry = journal / f"{number:04d}.partial", journal / f"{number:04d}"
    step("plan")
    try:
        partial.mkdir(parents=True)
        plan, written = [], []
        for position, (path, content) in enumerate(files.items()):
            plan.append(os.path.relpath(path, base))
            if path.exists():
                written.append(write(partial / f"{position}.old", path.read_bytes()))
            if content is not None:
                written.append(write(partial / f"{position}.new", content))
        sync_files(written)
        write_synced(partial / "plan.json", json.dumps(plan, ensure_ascii=False).encode("utf-8", "surrogateescape"))
        sync_folder(partial)
        step("decide")
        partial.rename(entry)
        sync_folder(journal)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if journal.is_dir() and not any(journal.iterdir()):
            journal.rmdir()
        with disk_errors(base, "nothing was changed"):
            raise
    with disk_errors(base, _HALF):
        _apply(base, entry, "new", step)
        step("done")
        write_synced(entry / "done", b"")
    return entry


def undo(base: Path, step: Callable[[str], None] = lambda name: None) -> list[Path]:
    """Take back the latest change, byte for byte; returns the files. Raises UsageError when there is none, or when a
    file was edited since."""
    recover(base)
    entries = _entries(base)
    if not entries:
        raise UsageError(
            f"{base}: holds no change that could be undone.", hint="Only `dataset clean` in place leaves one."
        )
    entry = entries[-1]
    for position, path in _plan(base, entry):
        new = entry / f"{position}.new"
        if _content(path) != _content(new):
            raise UsageError(
                f"{path}: was edited after it was cleaned; undoing would lose that.",
                hint=f"What it held before is {entry / f'{position}.old'}.",
            )
    with disk_errors(base, _HALF):
        write_synced(entry / "undoing", b"")
        return _take_back(base, entry, step)


def recover(base: Path) -> bool:
    """Finish what a killed command left half done below `base`; True when there was something."""
    journal = _journal(base)
    if not journal.is_dir():
        return False
    found = False
    with disk_errors(base, _HALF):
        for left in sorted(journal.iterdir()):
            if _LEFT.fullmatch(left.name):
                shutil.rmtree(left)
        for entry in _entries(base):
            if (entry / "undoing").exists():
                _take_back(base, entry)
                found = True
            elif not (entry / "done").exists():
                _apply(base, entry, "new")
                write_synced(entry / "done", b"")
                found = True
    if journal.is_dir() and not any(journal.iterdir()):
        journal.rmdir()
    return found


def _take_back(base: Path, entry: Path, step: Callable[[str], None] = lambda name: None) -> list[Path]:
    _apply(base, entry, "old", step)
    step("forget")
    gone = entry.with_suffix(".gone")
    files = [path for _, path in _plan(base, entry)]
    entry.rename(gone)
    shutil.rmtree(gone)
    if not any((base / FOLDER).iterdir()):
        (base / FOLDER).rmdir()
    return files


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path) if path.exists() else None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error


def _apply(base: Path, entry: Path, kind: str, step: Callable[[str], None] = lambda name: None) -> None:
    written = []
    for position, path in _plan(base, entry):
        step(path.name)
        source = entry / f"{position}.{kind}"
        target = _within(base, path)
        if not source.exists():
            target.unlink(missing_ok=True)
            continue
        fresh = target.with_name(f".{target.name}.ocrctl")
        fresh.unlink(missing_ok=True)  # a link of that name is not followed
        write(fresh, read_regular(source))
        if target.exists():
            shutil.copymode(target, fresh)
        os.replace(fresh, target)
        written.append(target)
    sync_files(written)
    for folder in {path.parent for _, path in _plan(base, entry)}:
        sync_folder(folder)


def _plan(base: Path, entry: Path) -> list[tuple[int, Path]]:
    """Number and path of each file of a change. Raises InputError when its plan is none, as in a journal that came with
    a data set or was damaged: nothing is changed by it then."""
    path = entry / "plan.json"
    try:
        names = json.loads(read_regular(path).decode("utf-8", "surrogateescape"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(entry, getattr(error, "strerror", None) or str(error)[:120]) from error
    if not isinstance(names, list) or not names:
        raise _damaged(entry, "plan.json should be a list of files")
    for name in names:
        if not isinstance(name, str) or not _is_path(name):
            raise _damaged(entry, f"plan.json should be a list of files, found {repr(name)[:60]} in it")
    return [(position, base / name) for position, name in enumerate(names)]


def _is_path(name: str) -> bool:
    try:
        return bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def _damaged(entry: Path, reason: str) -> InputError:
    return InputError(
        f"{entry}: the journal of a change is damaged ({reason}); no label file is changed by it.",
        hint=f"compare the label files with a copy, then remove it: rm -r {shell_quote(entry)}",
    )


def _within(base: Path, path: Path) -> Path:
    """What `path` is, links followed. Raises InputError when that lies outside `base`: a journal or a link that came
    with a data set must not make a command write elsewhere."""
    target, home = Path(os.path.realpath(path)), Path(os.path.realpath(base))
    if home not in target.parents:
        raise InputError(
            f"{path}: leads to {target}, out of {base}; it is not changed.",
            hint="clean the data where it lies, or with --out",
        )
    return target


def _journal(base: Path) -> Path:
    """The journal of `base`, whether there is one or not. Raises InputError for a link: what it leads to is not the
    set's."""
    journal = base / FOLDER
    if journal.is_symlink():
        raise InputError(
            f"{journal}: is a link to {os.readlink(journal)}, which is not followed; a journal is a folder.",
            hint=f"remove the link: rm {shell_quote(journal)}",
        )
    return journal


def _entries(base: Path) -> list[Path]:
    """The changes in the journal, oldest first. Raises InputError when a link stands in their place, or in one."""
    journal = _journal(base)
    if not journal.is_dir():
        return []
    entries = sorted(entry for entry in journal.iterdir() if entry.name.isdecimal())
    for entry in entries:
        for path in (entry, *(entry.iterdir() if entry.is_dir() and not entry.is_symlink() else ())):
            if path.is_symlink():
                raise _damaged(entry, f"{path.name} is a link, which is not followed")
    return entries
