"""Every test of this folder reads the outcome of one process that runs all commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMANDS = [
    "dataset convert", "dataset split", "dataset crop", "dataset clean", "dataset clean --out", "dataset synth",
    "dataset synth --pages", "lmdb build", "predict -o", "predict -o pages", "predict -o overlay", "export",
]  # fmt: skip
Outcomes = dict[str, dict[str, Any]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "writing_command" in metafunc.fixturenames:
        metafunc.parametrize("writing_command", COMMANDS)


@pytest.fixture(scope="session")
def outcomes(
    tiny_checkpoint: Path, tiny_detector: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Outcomes]:
    """What commands.py found, by command."""

    def found(*arguments: str) -> Outcomes:
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("commands.py"), arguments[0],
             tmp_path_factory.mktemp("commands"), *arguments[1:], "--words-model", tiny_checkpoint,
             "--detector", tiny_detector],
            cwd=Path(__file__).parents[2], capture_output=True, text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("OCRCTL_")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return {item["command"]: item for item in map(json.loads, done.stdout.splitlines())}

    return found
