"""Single files: the old content or the new, and two writers that never share a temporary file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ocrctl.errors import InputError, UsageError
from ocrctl.files.atomic import (
    check_writable,
    open_atomic,
    remove_temporary_files,
    temporary_of,
    write_bytes,
    write_text,
)

WRITER = """
import sys
from pathlib import Path
from ocrctl.files.atomic import write_bytes
for _ in range(60):
    write_bytes(Path(sys.argv[1]), sys.argv[2].encode() * 200_000)
"""


def test_two_writers_at_once_leave_the_whole_of_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), letter], cwd=Path(__file__).parents[2])
        for letter in "abc"
    ]
    while any(process.poll() is None for process in processes):
        if path.exists():
            content = path.read_bytes()
            assert len(content) == 200_000 and len(set(content)) == 1
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), open_atomic(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_what_a_killed_writer_left_is_overwritten_or_swept_and_nothing_else(tmp_path: Path) -> None:
    temporary_of(tmp_path / "a").write_text("half of something long")
    (tmp_path / ".mine.tmp").write_text("mine")
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new" and sorted(os.listdir(tmp_path)) == [".mine.tmp", "a"]
    temporary_of(tmp_path / "b").write_text("half")
    remove_temporary_files(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".mine.tmp", "a"]


def test_of_two_that_create_one_file_one_succeeds(tmp_path: Path) -> None:
    path, outcomes = tmp_path / "charset.txt", []

    def create(text: str) -> None:
        try:
            write_text(path, text, create=True)
            outcomes.append(text)
        except UsageError:
            outcomes.append("")

    threads = [threading.Thread(target=create, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[:3] == ["", "", ""] and path.read_text() == sorted(outcomes)[3]
    assert os.listdir(tmp_path) == ["charset.txt"]


def test_a_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o600


def test_a_link_of_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("old")
    temporary_of(tmp_path / "a").symlink_to(tmp_path / "victim")
    for write in (check_writable, lambda path: write_text(path, "new")):
        with pytest.raises(InputError):
            write(tmp_path / "a")
    assert (tmp_path / "victim").read_text() == "old"


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 250 + ".html")
    check_writable(path)
    write_text(path, "new")
    assert os.listdir(tmp_path) == [path.name]


def test_without_locks_no_two_share_a_temporary_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocrctl.files.lock.fcntl", None)
    check_writable(tmp_path / "a")
    with open_atomic(tmp_path / "a") as file:
        assert os.listdir(tmp_path) == [f".{os.getpid()}-{threading.get_ident()}.a.ocrctl-tmp"]
        file.write(b"new")
    assert (tmp_path / "a").read_text() == "new" and os.listdir(tmp_path) == ["a"]
