"""`--report FILE`: the suffix decides between HTML and JSON, in every command that has one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrctl.cli.app import run


def commands(checkpoint: Path, detector: Path, words: Path, pages: Path) -> dict[str, list[str]]:
    """Every way to a report."""
    cpu = ["--device", "cpu"]
    return {
        "validate": ["dataset", "validate", str(pages)],
        "eval words": ["eval", str(checkpoint), "-d", str(words), "--bootstrap", "0", *cpu],
        "eval pages": ["eval", str(detector), "-d", str(pages), *cpu],
        "eval files": ["eval", "--gt", str(pages), "--pred", f"icdar15:{pages}"],
        "predict": ["predict", str(words), str(words / "gone.png"), "-m", str(checkpoint), *cpu],
    }


@pytest.mark.parametrize("name", ["validate", "eval words", "eval pages", "eval files", "predict"])
def test_the_suffix_decides(
    name: str, tiny_checkpoint: Path, tiny_detector: Path, word_folder: Path, page_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = commands(tiny_checkpoint, tiny_detector, word_folder, page_folder)[name]
    for odd in ("report", "report.htm", "report.csv"):
        assert run([*command, "--report", str(tmp_path / odd)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(
            f"error: --report {tmp_path / odd}: expected a name that ends in .html or .json"
        )
    assert list(tmp_path.iterdir()) == []
    page, plain = tmp_path / "report.html", tmp_path / "report.JSON"
    code = run([*command, "--report", str(page), "-q"])
    assert code == run([*command, "--report", str(plain), "--json"]) == int(name == "predict")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    report, printed = json.loads(plain.read_text("utf-8")), capsys.readouterr().out
    if name == "predict":
        assert report["read"] == 12 and "gone.png" in report["unreadable"][0]["error"]
        assert "gone.png" in page.read_text("utf-8") and "<strong>12</strong>" in page.read_text("utf-8")
    else:
        assert report == json.loads(printed.splitlines()[-1])
