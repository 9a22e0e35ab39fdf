"""docs/examples/train.sbatch under a stand-in for SLURM: the directives, the processes, and the requeue."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SBATCH = Path(__file__).parents[2] / "docs" / "examples" / "train.sbatch"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "train-on-many-gpus.md"
SRUN = """#!/bin/bash
# Starts the tasks of a step with the variables that srun gives them, one after the other; exits with the highest code.
while [[ "$1" == --* ]]; do shift; done
highest=0
for ((task = 0; task < SLURM_NTASKS; task++)); do
  local=$((task % SLURM_NTASKS_PER_NODE))
  SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=$SLURM_NTASKS SLURM_PROCID=$task SLURM_LOCALID=$local \
    SLURM_CPUS_PER_TASK=$SRUN_CPUS_PER_TASK "$@"
  code=$?
  ((code > highest)) && highest=$code
done
exit $highest
"""
OCRCTL = """#!{python}
import os, sys
from ocrctl.training.processes import find_process
found = find_process(sys.argv[1:])
print(found.rank, found.world, found.local_rank, found.devices, os.environ["SLURM_CPUS_PER_TASK"], *sys.argv[1:])
sys.exit({code} if found.first else 0)
"""


def submit(folder: Path, code: int) -> subprocess.CompletedProcess[str]:
    tools = {
        "srun": SRUN,
        "ocrctl": OCRCTL.format(python=sys.executable, code=code),
        "scontrol": '#!/bin/bash\necho "scontrol $@"\n',
    }
    for name, text in tools.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)", SBATCH.read_text(), re.MULTILINE))
    tasks = int(options["nodes"]) * int(options["ntasks-per-node"])
    slurm = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": str(tasks), "SLURM_NNODES": options["nodes"], "SLURM_PROCID": "0",
             "SLURM_NTASKS_PER_NODE": options["ntasks-per-node"],
             "SLURM_CPUS_PER_TASK": options["cpus-per-task"]}  # fmt: skip
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, **slurm, "PATH": path, "PYTHONPATH": str(SBATCH.parents[2])}
    return subprocess.run(["bash", str(SBATCH)], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.posix
@pytest.mark.parametrize(
    ("code", "requeued"),
    [(138, True), pytest.param(0, False, marks=pytest.mark.slow), pytest.param(5, False, marks=pytest.mark.slow)],
)
def test_the_job_trains_in_every_task_and_is_requeued_after_the_warning(
    code: int, requeued: bool, tmp_path: Path
) -> None:
    done = submit(tmp_path, code)
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    words = "train crnn -p h100 -p slurm -d words.lmdb --resume -o runs/words"
    assert lines[:8] == [f"{rank} 8 {rank % 4} 4 8 {words}" for rank in range(8)]
    assert lines[8:] == (["scontrol requeue 77"] if requeued else [])


def test_the_page_shows_the_lines_of_the_file() -> None:
    text = SBATCH.read_text(encoding="utf-8")
    shown = re.search(r"```sh\n(#SBATCH.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert [line for line in shown[1].splitlines() if line and line not in text.splitlines()] == []
