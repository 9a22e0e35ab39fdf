"""A full disk while labels are changed: nothing has changed, or the next command finishes it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ocrctl.errors import InputError, ResumableStop
from ocrctl.files import durable, journal


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_writes_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int) -> None:
    files = [tmp_path / f"gt_{name}.txt" for name in "ab"]
    for file in files:
        file.write_bytes(b"old")
    left = number

    def write(path: Path, content: bytes) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(code, os.strerror(code), str(path))
        path.write_bytes(content)
        return path

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write", write)
        patch.setattr(durable, "write", write)
        with pytest.raises(ResumableStop if code == errno.ENOSPC else InputError) as caught:
            journal.change(tmp_path, dict.fromkeys(files, b"new"))
        if journal.has_unfinished_change(tmp_path):
            with pytest.raises(type(caught.value)):
                journal.recover(tmp_path)
    decided = number > 4  # two old ones, two new ones and the plan are written before that
    assert ("the change is incomplete" in caught.value.message) == decided == journal.has_unfinished_change(tmp_path)
    assert journal.recover(tmp_path) == decided and not journal.has_unfinished_change(tmp_path)
    assert {file.read_bytes() for file in files} == {b"new" if decided else b"old"}
    if decided:
        assert journal.undo(tmp_path) == files
    assert {file.read_bytes() for file in files} == {b"old"} and sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize(
    "plan",
    [
        None, b"", b"{", b"{}", b"[]", b"3", b"[3]", b"[null]", b'[["gt_a.txt"]]', b'[""]', b'["a\\u0000b"]',
        b'["\\ud800"]', b"[" * 200_000, b'"gt_a.txt"', b"\xff\xfe",
    ],
)  # fmt: skip
def test_a_damaged_journal_changes_nothing(tmp_path: Path, plan: bytes | None) -> None:
    label = tmp_path / "gt_a.txt"
    label.write_bytes(b"label")
    entry = tmp_path / journal.FOLDER / "0001"
    entry.mkdir(parents=True)
    (entry / "0.new").write_bytes(b"of another set")
    if plan is not None:
        (entry / "plan.json").write_bytes(plan)
    for step in (journal.recover, journal.undo):
        with pytest.raises(InputError, match="0001: the journal of a change is damaged") as caught:
            step(tmp_path)
        assert caught.value.hint and str(entry) in caught.value.hint
    assert label.read_bytes() == b"label" and entry.is_dir()


@pytest.mark.posix
def test_a_journal_whose_contents_are_no_files(tmp_path: Path) -> None:
    label = tmp_path / "gt_a.txt"
    label.write_bytes(b"label")
    entry = tmp_path / journal.FOLDER / "0001"
    entry.mkdir(parents=True)
    (entry / "plan.json").write_text('["gt_a.txt"]')
    os.mkfifo(entry / "0.new")  # without a writer, a read of it would wait for ever
    with pytest.raises(InputError, match=r"0\.new"):
        journal.recover(tmp_path)
    (entry / "done").touch()
    with pytest.raises(InputError, match=r"0\.new: cannot be read \(expected a regular file, found a FIFO\)"):
        journal.undo(tmp_path)
    assert label.read_bytes() == b"label"
