"""The end of the process leaves out nothing but the deletion of objects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from typer import Exit
import ocrctl.cli.app as app

def run():
{body}

app.main = run
from ocrctl.__main__ import main
{before}
main()
"""


def ended(body: str, before: str = "", **options) -> subprocess.CompletedProcess[str]:
    """Run the command with another body in its own process."""
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    command = [sys.executable, "-c", CODE.format(body=indented, before=before)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": buffered, **options}
    return subprocess.run(command, text=True, timeout=60, check=False, **options)


@pytest.mark.parametrize(("stop", "code"), [("0", 0), ("None", 0), ("5", 5), ("130", 130), ("-1", 255), ("'why'", 1)])
def test_exit_codes(stop: str, code: int):
    done = ended(f"sys.exit({stop})")
    assert done.returncode == code
    assert done.stderr == ("why\n" if stop == "'why'" else "")


def test_nothing_printed_is_lost():
    done = ended("print('x' * 100_000, end='')\nsys.stderr.write('y')\nsys.exit(0)")
    assert done.stdout == "x" * 100_000 and done.stderr == "y"


def test_objects_are_not_deleted():
    done = ended("global kept\nclass Kept:\n    def __del__(self): print('deleted')\nkept = Kept()\nsys.exit(0)")
    assert done.returncode == 0 and done.stdout == ""


def test_exit_functions_and_temporary_folders(tmp_path: Path):
    body = f"""
import atexit, tempfile
global folder
folder = tempfile.TemporaryDirectory(dir={str(tmp_path)!r})
atexit.register(print, "at exit")
sys.exit(0)
"""
    done = ended(body)
    assert done.stdout == "at exit\n"
    assert not list(tmp_path.iterdir())


def test_threads_are_waited_for():
    body = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
def late():
    time.sleep(0.3)
    print("thread")
threading.Thread(target=late).start()
global pool
pool = ThreadPoolExecutor(1)
pool.submit(late)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
sys.exit(3)
"""
    done = ended(body)
    assert done.returncode == 3 and done.stdout.split() == ["thread", "thread"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        done = ended("print('lost')\nsys.exit(0)", stdout=full)
    assert done.returncode == 120 and "No space left" in done.stderr  # the interpreter's own


@pytest.mark.skipif(os.name == "nt", reason="no libc there")
def test_what_c_libraries_print_is_flushed():
    done = ended("import ctypes\nctypes.CDLL(None).printf(b'from C')\nsys.exit(0)")
    assert done.stdout == "from C"


def test_ctrl_c_while_a_thread_is_waited_for():
    body = """
import os, signal, threading, time
threading.Thread(target=lambda: (time.sleep(0.3), os.kill(os.getpid(), signal.SIGINT), time.sleep(0.1))).start()
sys.exit(0)
"""
    done = ended(body)
    assert done.returncode == 130 and done.stderr == "interrupted\n"


def test_a_profiler_gets_its_result():
    for tool in (["cProfile"], ["trace", "--count", "--summary", "--no-report", "--ignore-dir=/"]):
        command = [
            sys.executable,
            "-m",
            *tool,
            *(["-m"] if tool == ["cProfile"] else ["--module"]),
            "ocrctl",
            "--version",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout.startswith("ocrctl "), done.stderr
        if tool == ["cProfile"]:
            assert "function calls" in done.stdout


def test_the_command_ends_by_it():
    for arguments, code in ((["--version"], 0), (["nonsense"], 2)):
        done = subprocess.run([sys.executable, "-m", "ocrctl", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == code and (done.stdout or done.stderr)
