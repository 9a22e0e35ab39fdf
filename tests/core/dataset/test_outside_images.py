"""Images outside a set are copied only when that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ocrctl.cli.app import run

ITEM = json.dumps([{"transcription": "word", "points": [[2, 2], [50, 2], [50, 18], [2, 18]]}])


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((60, 20), 50).convert("RGB").save(path)
    return path


def pages(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Label.txt").write_text("".join(f"{name}\t{ITEM}\n" for name in names))
    return folder


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert run(["dataset", *command]) == 3
    error = capsys.readouterr().err
    assert "hint: --allow-outside copies them too" in error
    return error


@pytest.mark.parametrize("how", ["absolute", "upwards", "link", "linked folder"])
def test_each_way_out_needs_the_option(tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    secret = image(tmp_path / "private" / "deep" / "secret.png")
    folder = tmp_path / "set"
    image(folder / "images" / "own.png")
    image(folder / "images" / "more.png")
    if how == "absolute":
        name = str(secret)
    elif how == "upwards":
        name = "images/../../private/deep/secret.png"
    elif how == "link":
        name = "images/link.png"
        (folder / name).symlink_to(secret)
    else:
        name = "images/linked/secret.png"
        (folder / "images" / "linked").symlink_to(secret.parent)
    spec, out = str(pages(folder, ["images/own.png", "images/more.png", name])), tmp_path / "out"
    commands = [
        ["convert", spec, str(out), "--format", "icdar15"],
        ["split", spec, str(out), "--part", "a=0.5", "--part", "b=0.5"],
        ["clean", spec, "--repair", "--out", str(out)],
    ]
    for command in commands:
        assert "1 image is outside the set" in refused(capsys, *command)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["private", "set"]
    assert run(["dataset", *commands[0], "--labels-only"]) == 0 and not list(out.rglob("*.png"))
    assert run(["dataset", *commands[0][:2], str(tmp_path / "all"), *commands[0][3:], "--allow-outside"]) == 0
    assert len(list((tmp_path / "all").rglob("*.png"))) == 3


def test_any_file_named_as_an_image_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0\n")
    image(tmp_path / "set" / "own.png")
    pages(tmp_path / "set", ["own.png", str(tmp_path / "passwd")])
    command = ["convert", str(tmp_path / "set"), str(tmp_path / "out"), "--format", "icdar15"]
    assert str(tmp_path / "passwd") in refused(capsys, *command)


def test_word_images_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    names = [image(folder / f"{n}.png").name for n in range(3)] + [str(image(tmp_path / "private.png"))]
    (folder / "rec_gt.txt").write_text("".join(f"{name}\tword\n" for name in names))
    refused(capsys, "convert", str(folder), str(tmp_path / "out"), "--format", "lmdb")


def test_layouts_of_the_field_are_inside(tmp_path: Path) -> None:
    """Images beside the labels' folder, a set reached through a link, an absolute path within, a missing image."""
    for number in range(2):
        image(tmp_path / "set" / "ch4_images" / f"img_{number}.jpg")
        labels = tmp_path / "set" / "ch4_gt"
        labels.mkdir(exist_ok=True)
        (labels / f"gt_img_{number}.txt").write_text("2,2,50,2,50,18,2,18,word\n")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    for number, spec in enumerate((tmp_path / "set" / "ch4_gt", tmp_path / "link", tmp_path / "link" / "ch4_gt")):
        command = ["convert", str(spec), str(tmp_path / f"out{number}"), "--format", "paddleocr-det"]
        assert run(["dataset", *command]) == 0
    whole = image(tmp_path / "whole" / "a.png")
    pages(tmp_path / "whole", [str(whole), "/nowhere/b.png"])
    assert run(["dataset", "convert", str(tmp_path / "whole"), str(tmp_path / "o"), "--format", "icdar15"]) == 0


def test_a_folder_of_images_that_is_a_link_out_is_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(tmp_path / "home" / "a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "images").symlink_to(tmp_path / "home")
    pages(tmp_path / "set", ["a.png"])
    refused(capsys, "convert", str(tmp_path / "set"), str(tmp_path / "out"), "--format", "icdar15")


def test_a_link_to_a_device_is_named_without_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    image(folder / "own.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    spec = str(pages(folder, ["own.png", "zero.png"]))
    assert run(["dataset", "convert", spec, str(tmp_path / "out"), "--format", "icdar15"]) == 3
    error = capsys.readouterr().err
    assert f"1 image is outside the set, not in {folder}/ (first: " in error
    assert "which is /dev/zero, a character device)" in error and "allow-outside" not in error
