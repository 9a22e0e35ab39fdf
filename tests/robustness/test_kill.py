"""`kill -9` at random moments of every command that writes: what was there before is there, or all of the new, and the
same command again ends well. `train` is in test_kill_train.py.

A few moments a command; OCRCTL_TEST_KILLS=20 in the environment asks for more, and `pytest -s` prints the counts. One
test, because one process runs all commands: several would each start it again in the workers of pytest-xdist.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

CI_KILLS = "2"
ALIKE = ("dataset clean --out", "dataset synth --pages", "predict -o overlay")  # to others, in what they write with


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_leaves_the_old_state_or_the_new_and_a_rerun_recovers(
    outcomes: Callable[..., list[dict[str, Any]]],
) -> None:
    kills = os.environ.get("OCRCTL_TEST_KILLS", CI_KILLS)
    found = outcomes("kill", "--kills", kills, *(["--but", *ALIKE] if kills == CI_KILLS else []))
    assert len(found) >= 9
    assert not [item for item in found if item["problems"]]
