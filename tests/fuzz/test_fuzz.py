"""Damaged inputs end every command with a documented exit code, in bounded time and memory (fuzz.py says how).

OCRCTL_FUZZ_SECONDS (default 5) and OCRCTL_FUZZ_SEED (default 0) are those of each of the two groups.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(sys.platform != "linux", reason="forks, pidfd_open and /proc are Linux's")
@pytest.mark.parametrize("group", ["data", "models"])
def test_damaged_inputs_end_as_documented(group: str, fuzz_options: tuple[str, str]) -> None:
    seconds, seed = fuzz_options
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz.py"), group, "--seconds", seconds, "--seed", seed],
        capture_output=True, text=True,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    cases = int(done.stdout.rpartition(f"{group}: ")[2].split()[0])
    assert cases >= 20  # of a machine that does nothing else: hundreds
