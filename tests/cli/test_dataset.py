from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrctl.cli import console
from ocrctl.cli.app import run
from ocrctl.text.charset import Charset


@pytest.fixture(autouse=True)
def not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """-q of one test must not silence the next."""
    monkeypatch.setitem(console._state, "quiet", False)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Labels without images: the label verbs never open one."""
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "rec_gt.txt").write_text("a.png\tba b\nb.png\te\u0301한\nc.png\t\n", encoding="utf-8")
    return folder


def test_charset_prints_itself_alone(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", "charset", str(words)]) == 0
    output, log = capsys.readouterr()
    assert output == " abé한\n" and "5 characters in 3 labels" in log


def test_charset_file_reads_back(words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "charset.txt"
    assert run(["dataset", "charset", str(words), "-o", str(out)]) == 0
    output, log = capsys.readouterr()
    assert output == "" and log.splitlines()[-1] == f"next: ocrctl train -d {words} --charset {out}"
    assert Charset.load(out).chars == " abé한" and Charset.load(out).note == ""
    assert run(["dataset", "charset", str(words), "-o", str(out)]) == 2
    assert run(["dataset", "charset", str(words), "-o", str(out), "--overwrite", "--one-per-line"]) == 0
    assert out.read_text(encoding="utf-8").splitlines() == [" ", "a", "b", "é", "한"]


def test_charset_counts_and_json(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", "charset", str(words), "--counts", "-q"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["char\tcode point\tcount", "b\tU+0062\t2"]
    assert run(["dataset", "charset", str(words), str(words), "--json", "-q"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["charset"] == " abé한" and report["counts"]["b"] == 4 and report["samples"] == 6


def test_stats(words: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", "stats", str(words)]) == 0
    assert "empty labels\t1" in capsys.readouterr().out
    assert run(["dataset", "stats", str(words), "--json"]) == 0
    labels = json.loads(capsys.readouterr().out)["labels"]
    assert labels["lengths"] == {"0": 1, "2": 1, "4": 1} and labels["distinct"] == 3


@pytest.mark.parametrize(("content", "said"), [("a.png\t\n", "every label is empty"), ("a.png\tx\0\n", "U+0000")])
def test_labels_that_make_no_charset(
    tmp_path: Path, content: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rec_gt.txt").write_text(content)
    assert run(["dataset", "charset", str(tmp_path)]) == 3
    assert said in capsys.readouterr().err
