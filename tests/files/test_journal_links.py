"""A journal that came with a data set follows no link, and a set that is reached by a link is not changed by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ocrctl.cli.app import run
from ocrctl.files.journal import FOLDER

ALL = ["--clamp", "--repair", "--remove-bad"]


def pages(folder: Path) -> Path:
    """Three pages with a label file each, one of whose boxes leaves its page."""
    folder.mkdir(parents=True)
    for number in range(3):
        Image.effect_noise((200, 100), 60 + number).convert("RGB").save(folder / f"{number}.png")
        line = "10,10,60,10,60,30,10,30,ok\n150,50,260,50,260,70,150,70,out\n"
        (folder / f"gt_{number}.txt").write_text(line)
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def commands(folder: Path, out: Path) -> list[list[str]]:
    spec = str(folder)
    return [
        ["dataset", "validate", spec], ["dataset", "stats", spec], ["dataset", "clean", spec],
        ["dataset", "clean", spec, *ALL], ["dataset", "undo", spec], ["dataset", "crop", spec, str(out)],
        ["dataset", "convert", spec, str(out), "--format", "coco-text"],
        ["eval", "--gt", spec, "--pred", spec],
    ]  # fmt: skip


def test_a_linked_journal_is_refused_by_all_and_nothing_is_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, mine = pages(tmp_path / "set"), tmp_path / "mine"
    for name in ("0001.partial", "0002.gone", "0003"):
        (mine / name).mkdir(parents=True)
        (mine / name / "file").write_text("mine")
    (folder / FOLDER).symlink_to(mine)
    before = state(tmp_path)
    for command in commands(folder, tmp_path / "out"):
        assert run(command) == 3, command
        assert f"{folder / FOLDER}: is a link to {mine}" in capsys.readouterr().err
    assert state(tmp_path) == before


@pytest.mark.parametrize("linked", ["entry", "0.new", "done", "plan.json"])
def test_a_link_within_a_journal_is_refused(tmp_path: Path, linked: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder, mine = pages(tmp_path / "set"), tmp_path / "mine"
    entry = folder / FOLDER / "0001"
    elsewhere = mine if linked == "entry" else entry
    elsewhere.mkdir(parents=True)
    (elsewhere / "plan.json").write_text(json.dumps(["gt_0.txt"]))
    (elsewhere / "0.new").write_text("10,10,60,10,60,30,10,30,theirs\n")
    mine.mkdir(exist_ok=True)
    (mine / "secret").write_text("mine")
    if linked == "entry":
        entry.parent.mkdir()
        entry.symlink_to(mine)
    else:
        (entry / linked).unlink(missing_ok=True)
        (entry / linked).symlink_to(mine / ("new" if linked == "done" else "secret"))
    before = state(tmp_path)
    for command in commands(folder, tmp_path / "out"):
        assert run(command) == 3, command
        assert "which is not followed" in capsys.readouterr().err
    assert state(tmp_path) == before


def test_clean_follows_no_link_of_its_temporary_names(tmp_path: Path) -> None:
    folder = pages(tmp_path / "set")
    (tmp_path / "victim").write_text("mine")
    (folder / ".gt_0.txt.ocrctl").symlink_to(tmp_path / "victim")
    assert run(["dataset", "clean", str(folder), *ALL]) == 0
    assert (tmp_path / "victim").read_text() == "mine" and not (folder / "gt_0.txt").is_symlink()


def test_clean_and_undo_change_nothing_behind_a_linked_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = pages(tmp_path / "elsewhere")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "gt").symlink_to(elsewhere)
    before = state(elsewhere)
    assert run(["dataset", "clean", str(tmp_path / "set"), *ALL]) == 3
    assert f"links to {elsewhere}, outside {tmp_path / 'set'}" in capsys.readouterr().err
    assert state(elsewhere) == before
    (tmp_path / "link").symlink_to(elsewhere)  # named itself, it is the set
    assert run(["dataset", "clean", str(tmp_path / "link"), *ALL]) == 0
    cleaned = state(elsewhere)
    assert cleaned != before
    assert run(["dataset", "undo", str(tmp_path / "set")]) == 3 and state(elsewhere) == cleaned
    assert run(["dataset", "undo", str(elsewhere)]) == 0 and state(elsewhere) == before
