from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrctl.cli.app import run
from ocrctl.data.formats import FORMATS
from ocrctl.data.formats.spec import open_source
from ocrctl.data.lmdb.word_source import FolderWords


def converted(spec: str, out: Path, name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert run(["dataset", "convert", spec, str(out), "--format", name, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_back(
    word_folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = open_source(str(word_folder))
    there = converted(str(word_folder), tmp_path / "there", name, capsys)
    assert there["lost"] == ({} if FORMATS[name].KEEPS.names else {"names of images are not kept": 12})
    back = converted(str(tmp_path / "there"), tmp_path / "back", "paddleocr-rec", capsys)
    assert back["lost"] == {} and back["missing"] == []
    last = open_source(str(tmp_path / "back"))
    assert list(last.labels) == list(first.labels)
    assert all(last.image_bytes(index) == first.image_bytes(index) for index in range(12))
    assert isinstance(first, FolderWords) and isinstance(last, FolderWords)
    if FORMATS[name].KEEPS.names:
        assert last.files == [f"images/{file}" for file in first.files]
    assert not list(tmp_path.glob("*.partial"))


def test_what_a_line_cannot_hold_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = ["a b.png", "deep/c.png", "../up.png", "d.png", "gone.png"]
    labels = ["two\r\nlines", "half \ud800", " spaces ", 'q"u,o\ttes', "none"]
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for image in images[:4]:
        (tmp_path / "images" / image).write_bytes(b"\x89PNG" + image.encode())
    (tmp_path / "labels.json").write_text(json.dumps(dict(zip(images, labels, strict=True))))
    report = converted(str(tmp_path), tmp_path / "out", "paddleocr-rec", capsys)
    assert report["lost"] == {
        "halves of characters become U+FFFD": 1,
        "line breaks within a text become spaces": 1,
        "names of images are changed": 2,
    }
    assert report["missing"] == [f"{tmp_path / 'labels.json'} (gone.png)"] and report["instances"] == 4
    back = open_source(str(tmp_path / "out"))
    assert list(back.labels) == ["two lines", "half �", " spaces ", 'q"u,o\ttes']
    assert isinstance(back, FolderWords)
    assert back.files == ["images/a_b.png", "images/deep/c.png", "images/up.png", "images/d.png"]
    report = converted(str(tmp_path), tmp_path / "json", "mmocr-json", capsys)
    assert report["lost"] == {"halves of characters become U+FFFD": 1, "names of images are changed": 2}
    assert open_source(str(tmp_path / "json")).labels[0] == "two\r\nlines"


def test_nothing_stands_there_unless_it_is_whole(
    word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["dataset", "convert", str(word_folder), str(tmp_path / "out"), "--format"]
    assert run([*command, "icdar-words", "--labels-only"]) == 2
    assert run([*command, "icdar15"]) == 2
    assert "is not a format of word images" in capsys.readouterr().err

    def half(samples: object, out: Path, names: object = None) -> Path:
        (out / "half.txt").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FORMATS["doctr"], "write", half)
    assert run([*command, "doctr"]) in (3, 5)
    assert not list(tmp_path.iterdir())
    assert run([*command, "space-tags"]) == 0
    assert run([*command, "space-tags"]) == 2
    assert "exists already" in capsys.readouterr().err
