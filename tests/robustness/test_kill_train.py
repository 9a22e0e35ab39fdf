"""SIGKILL at random moments of a training: the run folder stays whole, and the run goes on to the same end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

KILLS = int(os.environ.get("OCRCTL_TEST_KILLS", "6"))  # moments; 20 take a minute
WORDS = ["cat", "dog", "sun", "hat", "pen", "cup", "map", "fox", "owl", "bee"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_training_goes_on_to_the_same_end(tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.mkdir()
    for number, word in enumerate(WORDS):
        image = np.full((32, 90, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(words / f"{number}.png"), image)
    labels = "".join(f"{number}.png\t{word}\n" for number, word in enumerate(WORDS))
    (words / "rec_gt.txt").write_text(labels, encoding="utf-8")
    command = [
        sys.executable,
        str(Path(__file__).with_name("kill_train.py")),
        str(words),
        str(tmp_path),
        str(KILLS),
        "7",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout)  # pytest -s shows the figures
    assert json.loads(done.stdout)["kills"] == KILLS
