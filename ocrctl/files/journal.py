"""Change several files atomically, with undo.

A change is an entry `.ocrctl-journal/0001/` beside the label files: `plan.json` (paths), `0.old` and `0.new` (contents;
one is missing for a created or removed file). The entry is created by one rename; then files are replaced one by one,
and `done` is written. Commands that read a set without `done` refuse it; the next command that changes it completes the
change first (`recover`). `change_lock` excludes concurrent changes.

A journal may come with a data set from others: links in it are not followed, and files outside the set are not changed.
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
_HALF = "the change is incomplete; the next `dataset clean` or `dataset undo` of this set completes it"
_LEFT = re.compile(r"\d+\.(?:partial|gone)")  # leftovers of a kill: entries not yet created, or being removed


@contextmanager
def change_lock(base: Path) -> Iterator[None]:
    """Lock the label files in `base` for a change. Raises UsageError while another process holds the lock, InputError
    when the folder cannot be written."""
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(base / FOLDER, name=base))
        except UsageError as error:
            raise UsageError(f"{base}: another command is changing it: {error.message}", hint="wait for it") from error
        yield


def has_unfinished_change(base: Path) -> bool:
    """Return whether a change in `base` is incomplete: label files may be partly old and partly new."""
    return any((entry / "undoing").exists() or not (entry / "done").exists() for entry in _entries(base))


def change(base: Path, files: Mapping[Path, bytes | None], step: Callable[[str], None] = lambda name: None) -> Path:
    """Replace each of `files` (below `base`) by its new bytes, or remove it (None). Returns the journal entry.

    `step` is called before each step that changes the disk. Raises InputError when the journal cannot be written;
    nothing is changed then.
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
    """Undo the latest change, byte for byte; returns the files. Raises UsageError when there is none, or when a file
    was edited since."""
    recover(base)
    entries = _entries(base)
    if not entries:
        raise UsageError(f"{base}: no change to undo.", hint="only `dataset clean` in place can be undone")
    entry = entries[-1]
    for position, path in _plan(base, entry):
        new = entry / f"{position}.new"
        if _content(path) != _content(new):
            raise UsageError(
                f"{path}: was edited after `dataset clean`; undo would lose the edits.",
                hint=f"the content before is in {entry / f'{position}.old'}",
            )
    with disk_errors(base, _HALF):
        write_synced(entry / "undoing", b"")
        return _restore(base, entry, step)


def recover(base: Path) -> bool:
    """Complete the change of a killed command below `base`; returns whether there was one."""
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
                _restore(base, entry)
                found = True
            elif not (entry / "done").exists():
                _apply(base, entry, "new")
                write_synced(entry / "done", b"")
                found = True
    if journal.is_dir() and not any(journal.iterdir()):
        journal.rmdir()
    return found


def _restore(base: Path, entry: Path, step: Callable[[str], None] = lambda name: None) -> list[Path]:
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
        fresh.unlink(missing_ok=True)  # links are not followed
        write(fresh, read_regular(source))
        if target.exists():
            shutil.copymode(target, fresh)
        os.replace(fresh, target)
        written.append(target)
    sync_files(written)
    for folder in {path.parent for _, path in _plan(base, entry)}:
        sync_folder(folder)


def _plan(base: Path, entry: Path) -> list[tuple[int, Path]]:
    """Return number and path of each file of a change. Raises InputError for an invalid plan, as in a damaged journal;
    nothing is changed then."""
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
        f"{entry}: the journal of a change is damaged ({reason}); no label file is changed.",
        hint=f"compare the label files with a copy, then remove it: rm -r {shell_quote(entry)}",
    )


def _within(base: Path, path: Path) -> Path:
    """Return the real path of `path`. Raises InputError when it is outside `base`: a journal or a link in a data set
    must not make a command write elsewhere."""
    target, root = Path(os.path.realpath(path)), Path(os.path.realpath(base))
    if root not in target.parents:
        raise InputError(
            f"{path}: links to {target}, outside {base}; it is not changed.",
            hint="clean the data at its real path, or with --out",
        )
    return target


def _journal(base: Path) -> Path:
    """Return the journal path of `base`, existing or not. Raises InputError for a link, whose target is not part of the
    set."""
    journal = base / FOLDER
    if journal.is_symlink():
        raise InputError(
            f"{journal}: is a link to {os.readlink(journal)}, which is not followed; a journal must be a folder.",
            hint=f"remove the link: rm {shell_quote(journal)}",
        )
    return journal


def _entries(base: Path) -> list[Path]:
    """Return the changes in the journal, oldest first. Raises InputError when one is a link or contains one."""
    journal = _journal(base)
    if not journal.is_dir():
        return []
    entries = sorted(entry for entry in journal.iterdir() if entry.name.isdecimal())
    for entry in entries:
        for path in (entry, *(entry.iterdir() if entry.is_dir() and not entry.is_symlink() else ())):
            if path.is_symlink():
                raise _damaged(entry, f"{path.name} is a link, which is not followed")
    return entries
