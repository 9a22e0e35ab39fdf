"""One process that runs all commands, and what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def outcomes(tiny_checkpoint: Path, tiny_detector: Path, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """What commands.py found, an item a command."""

    def found(*arguments: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("commands.py"), arguments[0], tmp_path, *arguments[1:],
             "--words-model", tiny_checkpoint, "--detector", tiny_detector],
            cwd=Path(__file__).parents[2], capture_output=True, text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("OCRCTL_")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        print(done.stdout)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return found
