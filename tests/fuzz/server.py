"""Run cases, one a line of stdin, each in a forked process of its own, and print how each ended, one line a case.

The libraries are imported once, here; a fork takes milliseconds, and what a case breaks, fills or leaves behind ends
with its process. Started by fuzz.py.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CPU_SECONDS = 20  # of one command
WALL_SECONDS = 60  # the machine may be shared; a command that waits for ever uses no CPU time
MEMORY = 1 << 30  # bytes resident


def preload(corpus: Path, work: Path) -> None:
    """Import what the commands import: each runs once, on what is whole, in a process that lists its modules."""
    every = {_kind(case): case for case in _whole_cases(corpus)}
    names: set[str] = set()
    for case in every.values():
        run_case({**case, "list": True}, corpus, work)
        listed = work / "modules"
        names |= set(listed.read_text().split("\n")) if listed.exists() else set()
        for name in sorted(names - set(sys.modules)):
            with contextlib.suppress(Exception):  # one that only another module can import
                importlib.import_module(name)
    gc.freeze()  # forks share these objects; the collector would touch, and so copy, them all


def _kind(case: dict[str, Any]) -> str:
    """What imports alike: the command, of words, pages and so on, in whatever format."""
    command = [re.sub(r"^[a-z0-9-]+:(?=\{set\})", "", word) for word in case["command"]]
    return case["folder"].partition("/")[0] + json.dumps(command)


def _whole_cases(corpus: Path) -> list[dict[str, Any]]:
    targets = json.loads((corpus / "targets.json").read_text())
    return [
        {"folder": target["folder"], "file": target["files"][0], "edits": [], "command": command}
        for target in targets
        for command in target["commands"]
    ]


def run_case(case: dict[str, Any], corpus: Path, work: Path) -> dict[str, Any]:
    """How the command of `case` ended: exit code or negative signal, CPU and wall seconds, bytes, and what it said."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = work / "log"
    start = time.monotonic()
    child = os.fork()
    if not child:
        _child(case, corpus, work, log)
    handle = os.pidfd_open(child)
    stopped = ""
    try:
        while not select.select([handle], [], [], 0.1)[0]:
            if time.monotonic() - start > WALL_SECONDS:
                stopped = f"over {WALL_SECONDS} s"
            elif _resident(child) > 2 * MEMORY:  # enough seen; the machine is shared
                stopped = "over 2 GB"
            if stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                break
    finally:
        os.close(handle)
    _, status, used = os.wait4(child, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # what it may have left running
    return {
        "code": os.waitstatus_to_exitcode(status),
        "stopped": stopped,
        "cpu": used.ru_utime + used.ru_stime,
        "wall": time.monotonic() - start,
        "memory": used.ru_maxrss * 1024,
        "said": log.read_bytes()[-6000:].decode("utf-8", "replace") if log.exists() else "",
    }


def _child(case: dict[str, Any], corpus: Path, work: Path, log: Path) -> None:
    os.setsid()
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 99  # the harness itself failed
    try:
        import packed

        copy = work / "set"
        shutil.copytree(corpus / case["folder"], copy, symlinks=True)
        # A container is changed before it is damaged: opening a damaged one may end this process.
        for edit in sorted(case["edits"], key=lambda edit: edit["op"] != "tree"):
            packed.apply(copy / case["file"], edit)
        words = [
            word.replace("{set}", str(copy)).replace("{clean}", str(corpus)).replace("{out}", str(work / "out"))
            for word in case["command"]
        ]
        os.chdir(work)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 31, 1 << 31))
        before = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(before.ru_utime + before.ru_stime)
        resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_SECONDS, spent + CPU_SECONDS + 5))

        from ocrctl.cli.app import run

        try:
            code = run(words)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 98
        if "list" in case:
            (work / "modules").write_text("\n".join(sys.modules))
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        if code == 99:
            import traceback

            traceback.print_exc()
        os._exit(code)


def _resident(child: int) -> int:
    try:
        for line in Path(f"/proc/{child}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def main() -> None:
    """CORPUS: say that it is ready, then answer until stdin ends."""
    corpus = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogatepass")
    with tempfile.TemporaryDirectory(prefix="ocrctl-fuzz-") as folder:
        work = Path(folder) / "case"
        preload(corpus, work)
        answers.write("ready\n")
        answers.flush()
        for line in sys.stdin:
            answer = run_case(json.loads(line), corpus, work)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
