"""Synthetic words as files: readable by every other command, and apart from what training draws."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrctl.core.dataset.synth_words import write_words
from ocrctl.data.formats.spec import open_source
from ocrctl.data.images.decode import decode
from ocrctl.errors import UsageError


def test_the_folder_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    write_words(tmp_path / "a", 12, ["quickstart"], [], unseen=True)
    source = open_source(str(tmp_path / "a"))
    assert len(source) == 12
    assert all(3 <= len(label) <= 10 and label.isalnum() and label == label.lower() for label in source.labels)
    assert all(min(decode(source.image_bytes(i), source.where(i)).shape[:2]) >= 16 for i in range(12))
    write_words(tmp_path / "b", 12, ["quickstart"], [], unseen=False)
    assert not set(source.labels) & set(open_source(str(tmp_path / "b")).labels)


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_words(tmp_path, 1, [], [], unseen=False)
