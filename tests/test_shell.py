"""Paths in the commands that messages suggest can be copied into a shell as they stand."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ocrctl.shell import shell_quote


@pytest.mark.parametrize("name", ["a\x1b[31m'b\\", "\udcff\x9b\u202e.png", "two\nlines\t"])
def test_a_name_with_controls_is_shown_and_handed_over_by_bash(name: str) -> None:
    shown = shell_quote(name)
    assert shown.isprintable() and shown.startswith("$'")
    said = subprocess.run(["bash", "-c", f"printf %s {shown}"], capture_output=True, check=True).stdout
    assert said == os.fsencode(name)


@pytest.mark.parametrize("name", ["run", "-run", "--run x", "a b", "it's", "$HOME", "*", "", "数据"])
def test_a_shell_hands_over_the_same_place(name: str) -> None:
    said = subprocess.run(
        ["sh", "-c", f"printf %s {shell_quote(name)}"], capture_output=True, text=True, check=True
    ).stdout
    assert said == (f"./{name}" if name.startswith("-") else name)


def test_a_path_is_typed_as_its_text() -> None:
    assert shell_quote(Path("a/-b c")) == "'a/-b c'" and shell_quote("icdar15:-x") == "icdar15:-x"
