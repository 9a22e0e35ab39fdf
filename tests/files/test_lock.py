"""Locks: one holder, named; released by death; never taking a file that is not ours."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrctl.errors import InputError, UsageError
from ocrctl.files import lock as module
from ocrctl.files.lock import exclusive_lock, lock, lock_folder, refuse_locked

HOLD = """
import sys
from pathlib import Path
from ocrctl.files.lock import lock_folder
held = lock_folder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


def test_the_second_is_told_who_holds_it_by_any_name_and_death_releases(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    process = holder(folder)
    with pytest.raises(UsageError, match=f"{link} is being written by process {process.pid}"):
        lock_folder(link)
    with pytest.raises(UsageError, match=f"{link} is being written by process {process.pid}"):
        refuse_locked(link)
    process.kill()
    process.communicate()
    refuse_locked(link)  # the file is still there, its owner is not
    lock_folder(link).release()
    refuse_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert not list(folder.iterdir())


def test_a_file_of_a_locks_name_that_is_no_lock_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out.lock").write_text("my notes")
    with pytest.raises(UsageError, match="out.lock: exists and is not a lock"):
        lock(tmp_path / "out")
    assert (tmp_path / "out.lock").read_text() == "my notes"


def test_a_link_of_a_locks_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("")
    (tmp_path / "out.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match="out.lock: cannot be written"):
        lock(tmp_path / "out")
    assert (tmp_path / "victim").exists()


@pytest.mark.parametrize("name", ["notes.txt", "notes.txt/below"])
def test_a_file_where_a_folder_should_be_is_named_without_the_lock(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=f"{name}: cannot be written: it is a file"):
        lock_folder(tmp_path / name)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("missing", ["module", "file system"])
def test_without_flock_the_file_is_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "module":
        monkeypatch.setattr(module, "fcntl", None)
    else:

        def flock(handle: int, operation: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr("ocrctl.files.lock.fcntl.flock", flock)
    with exclusive_lock(tmp_path / "out"), pytest.raises(UsageError, match=f"process {os.getpid()}") as caught:
        lock(tmp_path / "out")
    assert f"delete {tmp_path / 'out.lock'}" in (caught.value.hint or "")
    assert not list(tmp_path.iterdir())
    with exclusive_lock(tmp_path / "out"):
        pass


def test_releasing_twice_takes_nothing_from_the_next_holder(tmp_path: Path) -> None:
    first = lock(tmp_path / "out")
    first.release()
    second = lock(tmp_path / "out")
    first.release()
    with pytest.raises(UsageError):
        lock(tmp_path / "out")
    second.release()
