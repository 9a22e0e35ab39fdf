"""Output folders: whole or absent, one writer, and nothing removed that is not ours."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ocrctl.errors import UsageError
from ocrctl.files import folder as module
from ocrctl.files import lock as lock_module
from ocrctl.files.atomic import PartFile, check_writable, write_text
from ocrctl.files.folder import MARKER, claim, new_folder, partial_folder, shared_folder
from ocrctl.files.lock import exclusive_lock


def left_by(out: Path, command: str, goes_on: str = "") -> Path:
    """OUT.partial as a killed `command` leaves it."""
    with claim(out, command, goes_on) as claimed:
        claimed.begin()
        (claimed.partial / "half").write_text("half")
        return claimed.partial


def test_it_appears_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with new_folder(out, "dataset crop") as folder:
        (folder / "labels").mkdir()
        (folder / "labels" / "a.txt").write_text("a")
        assert not out.exists() and json.loads((folder / MARKER).read_text())["command"] == "dataset crop"
    assert [path.name for path in out.rglob("*")] == ["labels", "a.txt"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out", "dataset crop") as folder:
        (folder / "a").write_text("a")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with new_folder(tmp_path / "link", "dataset crop") as folder:
        (folder / "a").write_text("a")
    assert (tmp_path / "link").is_symlink() and os.listdir(tmp_path / "empty") == ["a"]
    assert sorted(os.listdir(tmp_path)) == ["empty", "link"]


def test_a_second_writer_by_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("out")
    with new_folder(Path("out"), "dataset convert"):
        for name in (tmp_path / "out", Path("link"), Path("./out/")):
            with pytest.raises(UsageError, match=f"is being written by process {os.getpid()}"):
                new_folder(name, "dataset split").__enter__()
    assert os.path.isdir("out")


def test_what_the_same_command_left_goes(tmp_path: Path) -> None:
    partial = left_by(tmp_path / "out", "dataset crop")
    with new_folder(tmp_path / "out", "dataset crop") as folder:
        assert folder == partial and os.listdir(folder) == [MARKER]
    assert os.listdir(tmp_path) == ["out"]


def test_what_another_command_left_stays_and_says_how_it_goes_on(tmp_path: Path) -> None:
    partial = left_by(tmp_path / "out", "lmdb build", "ocrctl lmdb build words out --resume")
    with pytest.raises(UsageError, match="contains the output of an interrupted `ocrctl lmdb build`") as caught:
        new_folder(tmp_path / "out", "dataset crop").__enter__()
    assert "resume it: ocrctl lmdb build words out --resume" in (caught.value.hint or "")
    assert (partial / "half").read_text() == "half" and os.listdir(tmp_path) == ["out.partial"]


@pytest.mark.parametrize("kind", ["folder", "file", "link", "marker is a link", "marker of others"])
def test_what_no_command_made_stays(tmp_path: Path, kind: str) -> None:
    partial, theirs = tmp_path / "out.partial", tmp_path / "theirs"
    left_by(theirs, "dataset crop").rename(theirs)
    if kind == "file":
        partial.write_text("mine")
    elif kind == "link":
        partial.symlink_to(theirs)
    else:
        partial.mkdir()
        (partial / "notes.txt").write_text("mine")
        if kind == "marker is a link":
            (partial / MARKER).symlink_to(theirs / MARKER)
        elif kind == "marker of others":
            (partial / MARKER).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="out.partial: exists and was not created by ocrctl"):
        new_folder(tmp_path / "out", "dataset crop").__enter__()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", [None, "", '{"command": "dataset'])
def test_a_kill_before_the_marker_was_whole_is_no_obstacle(tmp_path: Path, content: str | None) -> None:
    partial = partial_folder(tmp_path / "out")
    partial.mkdir()
    if content is not None:
        (partial / MARKER).write_text(content)
    with new_folder(tmp_path / "out", "dataset crop"):
        pass
    assert os.listdir(tmp_path) == ["out"]


def test_a_kill_between_the_rename_and_the_end_leaves_it_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    left_by(out, "dataset crop").rename(out)
    with pytest.raises(UsageError, match="exists already"), claim(out, "dataset convert"):
        module.check_empty(out)
    assert os.listdir(out) == ["half"]


def test_a_kill_at_the_very_end_is_ended_by_the_next_command(tmp_path: Path) -> None:
    """Its marker and its lock file go, though the folder is taken."""
    out = tmp_path / "out"
    left_by(out, "dataset crop").rename(out)
    (tmp_path / "out.partial.lock").write_text("ocrctl 99999999 here\n")
    with pytest.raises(UsageError, match="exists already"):
        new_folder(out, "dataset crop").__enter__()
    assert os.listdir(out) == ["half"] and os.listdir(tmp_path) == ["out"]
    with pytest.raises(UsageError, match="exists already"):
        new_folder(Path("/"), "dataset crop").__enter__()


def test_a_removal_that_is_killed_leaves_what_is_still_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = left_by(tmp_path / "out", "dataset crop")
    (partial / "sub").mkdir()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.shutil, "rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        new_folder(tmp_path / "out", "dataset crop").__enter__()
    assert (partial / MARKER).exists()
    with new_folder(tmp_path / "out", "dataset crop"):
        pass


def test_files_that_appear_meanwhile_are_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="exists already"), new_folder(out, "dataset crop"):
        out.mkdir()
        (out / "mine").write_text("mine")
    assert os.listdir(out) == ["mine"] and os.listdir(tmp_path) == ["out"]


def test_a_shared_folder_is_held_and_goes_when_it_stays_empty(tmp_path: Path) -> None:
    with shared_folder(tmp_path / "out"), pytest.raises(UsageError, match=f"process {os.getpid()}"):
        shared_folder(tmp_path / "out").__enter__()
    assert not list(tmp_path.iterdir())
    with shared_folder(tmp_path / "out"):
        (tmp_path / "out" / "a").write_text("a")
    with shared_folder(tmp_path / "out"):
        pass
    assert os.listdir(tmp_path / "out") == ["a"]


def test_no_output_replaces_or_enters_a_partial_folder(tmp_path: Path) -> None:
    out = tmp_path / "o"
    partial = tmp_path / "o.partial"
    with claim(out, "dataset convert") as claimed:
        with pytest.raises(UsageError, match=r"o\.partial: names that end in \.partial"):  # before there is a folder
            new_folder(partial, "dataset convert").__enter__()
        claimed.begin()
        module.own.clear()  # as another process sees it
        for other in (partial / "x", partial / "a" / "b"):
            with pytest.raises(UsageError, match=r"o\.partial is incomplete output of another command"):
                new_folder(other, "dataset convert").__enter__()
        for enter in (lambda: shared_folder(partial).__enter__(), lambda: exclusive_lock(partial / "j").__enter__()):
            with pytest.raises(UsageError, match="incomplete output"):
                enter()
        for file in (partial / "report.html", tmp_path / "o.partial.lock", tmp_path / ".ocrctl.lock"):
            with pytest.raises(UsageError, match=r"incomplete output|reserved"):
                write_text(file, "text")
            with pytest.raises(UsageError, match=r"incomplete output|reserved"):
                check_writable(file)
            with pytest.raises(UsageError, match=r"incomplete output|reserved"), PartFile(file):
                pass
        assert os.listdir(partial) == [MARKER]
        (partial / "a").write_text("a")
        claimed.publish()
    assert sorted(os.listdir(tmp_path)) == ["o"] and os.listdir(out) == ["a"]


def test_the_interrupted_output_of_another_command_is_no_output(tmp_path: Path) -> None:
    partial = left_by(tmp_path / "o", "dataset convert")
    with pytest.raises(UsageError, match="reserved"):
        new_folder(partial, "dataset convert").__enter__()
    assert (partial / MARKER).exists() and (partial / "half").exists()


def test_a_partial_folder_appears_with_its_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second writer that is there first wins: the first is refused and removes nothing of it."""
    rename, partial = os.rename, tmp_path / "o.partial"

    def late(source: Path, target: Path) -> None:
        assert (source / MARKER).exists() and not partial.exists()
        (partial / "x").mkdir(parents=True)
        rename(source, target)

    with claim(tmp_path / "o", "dataset convert") as claimed:
        monkeypatch.setattr(module.os, "rename", late)
        with pytest.raises(UsageError, match="exists by now"):
            claimed.begin()
    assert sorted(os.listdir(tmp_path)) == ["o.partial"] and (partial / "x").is_dir()


def test_a_lock_in_a_partial_folder_that_appeared_meanwhile_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, partial = lock_module._acquire, tmp_path / "o.partial"

    def late(path: Path, name: Path, refused: str) -> int:
        (partial / MARKER).write_text("{}")
        return taken(path, name, refused)

    monkeypatch.setattr(lock_module, "_acquire", late)
    with pytest.raises(UsageError, match="incomplete output"):
        new_folder(partial / "x", "dataset convert").__enter__()
    assert os.listdir(partial) == [MARKER]
