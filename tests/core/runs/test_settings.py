"""What a run keeps of the paths and names that it was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrctl.core.train.run import load_train_settings
from ocrctl.text.charset import Charset


def test_a_folder_called_words_does_not_stand_for_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words").mkdir()
    monkeypatch.chdir(tmp_path)
    tree = {"arch": "crnn-tiny", "data": {"train": ["synth:words", "words", "lmdb:words"], "val": "synth:words"}}
    data = load_train_settings(None, [], tree).data
    assert data.train == ["synth:words", f"{tmp_path}/words", f"lmdb:{tmp_path}/words"] and data.val == "synth:words"


def test_a_folder_called_as_a_built_in_value_does_not_stand_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("system", "digits"):
        (tmp_path / name).mkdir()
    tree = {"arch": "crnn-tiny", "data": {"train": ["system"], "charset": "digits"}, "synth": {"fonts": "system"}}
    settings = load_train_settings(None, [], tree)
    assert (settings.synth.fonts, settings.data.charset, settings.data.train) == (
        "system", "digits", [f"{tmp_path}/system"],
    )  # fmt: skip
    assert Charset.load("digits").chars == "0123456789"
    (tmp_path / "ascii94").write_text("xyz", encoding="utf-8")
    tree["data"]["charset"] = "ascii94"
    assert load_train_settings(None, [], tree).data.charset == str(tmp_path / "ascii94")
    assert Charset.load("ascii94").chars == "xyz"
