"""SIGTERM, SIGHUP and SIGUSR1 end every command with a message and its clean-up, as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, signal, sys, time
from pathlib import Path
from ocrctl.cli import app
from ocrctl.files.folder import shared_folder

def invoke(self, context):
    with shared_folder(Path(sys.argv[-1])):
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            signal.raise_signal({number})
        else:
            os.kill(os.getpid(), {number})  # a worker has no message and no clean-up of its own
        time.sleep(20)

app.LazyGroup.invoke = invoke
app.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
@pytest.mark.posix
def test_a_signal_ends_a_command_with_a_message_and_its_clean_up(name: str, tmp_path: Path) -> None:
    number = getattr(signal, name)
    code = CODE.format(number=int(number))
    if name == "SIGINT":  # Python's own handler, in the child, too
        code = code.replace("if child := os.fork():", "if child := 1:").replace(
            "print(os.waits", "0 and print(os.waits"
        )
    command = [sys.executable, "-c", code, "runs", "list", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 128 + number
    assert done.stderr == ("interrupted\n" if name == "SIGINT" else f"stopped by {name}\n")
    assert done.stdout == ("" if name == "SIGINT" else f"{-number}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("rank", "said"), [("0", "stopped by SIGTERM\n"), ("1", "")])
@pytest.mark.posix
def test_of_several_processes_the_first_names_the_signal(rank: str, said: str, tmp_path: Path) -> None:
    """torchrun's agent ends the others with SIGTERM when one fails: its error is the last line."""
    command = [sys.executable, "-c", CODE.format(number=int(signal.SIGTERM)), "runs", "list", str(tmp_path / "out")]
    environ = {**os.environ, "TORCHELASTIC_RUN_ID": "a", "RANK": rank}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert done.returncode == 128 + signal.SIGTERM and done.stderr == said


@pytest.mark.posix
def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    code = CODE.format(number=int(signal.SIGHUP)).replace("time.sleep(20)", "os._exit(7)")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        command = [sys.executable, "-c", code, "runs", "list", str(tmp_path / "out")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ}, check=False)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (done.returncode, done.stderr) == (7, "")
