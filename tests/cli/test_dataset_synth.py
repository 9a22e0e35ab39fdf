"""`dataset synth`: pages next to words, what does not go together, and streams that do not fit the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrctl.cli import console
from ocrctl.cli.app import run


@pytest.fixture(autouse=True)
def not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """-q of one test must not silence the next."""
    monkeypatch.setitem(console._state, "quiet", False)


def test_pages_are_written_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pages"
    assert run(["dataset", "synth", str(out), "--pages", "--count", "3", "--set", "seed=5", "--json"]) == 0
    output, log = capsys.readouterr()
    report = json.loads(output)
    assert report["samples"] == 3 and sum(report["kinds"].values()) == 3 and report["words"] > 0
    assert log.splitlines()[-1] == f"next: ocrctl dataset stats {out}"
    assert len(list((out / "images").iterdir())) == 3
    assert run(["dataset", "validate", str(out)]) in (0, 1)
    found = capsys.readouterr().out
    assert "error" not in found
    assert run(["dataset", "synth", str(out), "--pages"]) == 2


def test_photographs_go_with_pages_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dataset", "synth", str(tmp_path / "out"), "--backgrounds", str(tmp_path)]) == 2
    assert "--backgrounds requires --pages" in capsys.readouterr().err
    assert run(["dataset", "synth", str(tmp_path / "out"), "--pages", "--backgrounds", str(tmp_path / "none")]) == 3
    assert not (tmp_path / "out").exists()


def test_a_recogniser_is_not_trained_on_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "crnn-tiny", "-d", "synth:pages", "-o", str(tmp_path / "run")]) == 2
    assert "expected words, not pages" in capsys.readouterr().err
    assert run(["train", "crnn-tiny", "-d", "synth:page", "-o", str(tmp_path / "run")]) == 2
    assert "pages" in capsys.readouterr().err
