"""Every command that writes, killed with SIGKILL at random moments and started twice. `train` is in test_kill_train.py
and in tests/core/train/test_preflight.py.

After a kill, what was there before is there, or all of the new, and the same command again ends well. Of two processes
on one target exactly one succeeds, the other names it and ends with exit 2, and the output is whole: the first is
stopped while it holds its lock, so that the two meet for certain. One process (commands.py) runs all commands.

A few kills a command; OCRCTL_TEST_KILLS=20 in the environment asks for more, and `pytest -s` prints the counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ocrctl.config.model_card import CARD_KEY, ModelCard

pytestmark = pytest.mark.slow  # two minutes of all commands; others kill `train` and `dataset clean`
CI_KILLS = "2"
ALIKE = ("dataset clean --out", "dataset synth --pages", "predict -o overlay")  # to others, in what they write with
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def narrow_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model for images of a third of the width, whose export takes a third of the time."""
    state = torch.load(tiny_checkpoint, weights_only=True)
    card = replace(ModelCard.from_json(state[CARD_KEY]), width=32, max_label_length=8)
    path = tmp_path_factory.mktemp("narrow") / "tiny.ckpt"
    torch.save({**state, CARD_KEY: card.to_json()}, path)
    return path


@pytest.fixture(scope="module")
def outcomes(
    narrow_checkpoint: Path, tiny_detector: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What commands.py found, an item for each command and what was done with it."""
    kills = os.environ.get("OCRCTL_TEST_KILLS", CI_KILLS)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("commands.py"), tmp_path_factory.mktemp("commands"),
         "--kills", kills, *(["--spare", *ALIKE] if kills == CI_KILLS else []),
         "--words-model", narrow_checkpoint, "--detector", tiny_detector],
        cwd=Path(__file__).parents[2], capture_output=True, text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("OCRCTL_")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return [json.loads(line) for line in done.stdout.splitlines()]


@forks
def test_a_kill_leaves_the_old_state_or_the_new_and_a_rerun_recovers(outcomes: list[dict[str, Any]]) -> None:
    found = [item for item in outcomes if item["what"] == "kill"]
    assert len(found) >= 9
    assert not [item for item in found if item["problems"]]


@forks
def test_the_second_is_refused_and_the_first_ends_whole(outcomes: list[dict[str, Any]]) -> None:
    found = [item for item in outcomes if item["what"] == "pair"]
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
