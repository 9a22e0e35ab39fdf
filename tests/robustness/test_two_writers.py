"""Two processes on one target: exactly one succeeds, the other names it and ends with exit 2, and the output is whole.

Of folders the first is stopped while it holds its lock, so that the two meet for certain; `train` is in
tests/core/train/test_preflight.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_second_is_refused_and_the_first_ends_whole(outcomes: Callable[..., list[dict[str, Any]]]) -> None:
    found = outcomes("pair")
    assert len(found) == 12
    assert not [item for item in found if item["problems"]]


@pytest.mark.parametrize("command", [["dataset", "charset", "WORDS", "-o"], ["profile", "copy", "cpu"]])
def test_of_two_that_start_at_once_one_writes_the_file(command: list[str], word_folder: Path, tmp_path: Path) -> None:
    argv = [str(word_folder) if word == "WORDS" else word for word in command]
    out = tmp_path / "out.txt"
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "ocrctl", *argv, str(out)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2], text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], said
    assert out.read_text().endswith("\n") and os.listdir(tmp_path) == ["out.txt"]
