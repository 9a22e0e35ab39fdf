"""Write the Python stacks of all processes of a run when a training step, a validation batch or the wait for a batch
takes longer than its limit.

The training loop only notes what it begins and when (`enter`); a thread compares that with the limits every few
seconds. Where the interpreter lock is never released, which stops that thread too, faulthandler prints the stacks of
the training process to stderr.
"""

from __future__ import annotations

import datetime
import faulthandler
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

from ocrctl.config.settings import WatchdogSettings
from ocrctl.errors import ResumableStop
from ocrctl.escape import visible
from ocrctl.files.atomic import write_text
from ocrctl.shell import shell_quote

FOLDER = "stacks"  # in the run folder
Phase = Literal["loader", "step", "validation", "idle"]
_SIGNAL = getattr(signal, "SIGUSR2", None)  # ends what the main thread waits for when the run is to end
_GRACE = 10.0  # seconds in which the main thread may save and leave before the process ends without it
_SHORTEST, _LONGEST = 0.05, 5.0  # seconds between two checks
_WHAT = {
    "step": "step {next} has taken {seconds:.0f} s (watchdog.step_seconds={limit:g})",
    "validation": "a validation batch at step {step} has taken {seconds:.0f} s (watchdog.step_seconds={limit:g})",
    "loader": "step {next} has waited {seconds:.0f} s for a batch (watchdog.loader_seconds={limit:g})",
}
_CAUSES = {
    "loader": "a slow or unreachable disk, or a deadlock in a loader process; --set data.workers=0 loads in the "
    "training process",
    "step": "on a CPU more threads than OMP_THREAD_LIMIT allows, or oneDNN (--set train.mkldnn=false); on GPUs a "
    "collective operation that another rank never joins; `ocrctl diagnose environment` checks this machine",
    "validation": "as for a step, or a page that cannot be read from its disk",
}


class Stalled(ResumableStop):
    """Raised when a step or a wait takes longer than its limit and `watchdog.abort` is set. `between_steps`: it is a
    wait, so the state can be saved."""

    def __init__(self, message: str, hint: str, *, between_steps: bool) -> None:
        super().__init__(message, hint=hint)
        self.between_steps = between_steps


class Workers(Protocol):
    """The loader whose processes are examined."""

    def stacks(self) -> list[tuple[int, str]]:
        """Return process id and stacks of each loader process."""

    def kill(self) -> None:
        """End the loader processes at once."""


class Watchdog:
    """Watch one run while active (a context manager; main thread only)."""

    def __init__(
        self,
        run: Path,
        settings: WatchdogSettings,
        workers: Workers | None,
        report: Callable[[str], None],
        step: Callable[[], int] = lambda: 0,
        rank: int = 0,
    ) -> None:
        """`step` returns the number of optimiser steps done; it is called only to name one that hangs. `rank`: of this
        process among those that train together, each of which writes files of its own."""
        self._rank = rank
        self.step = step
        self.run, self._settings, self._workers, self._report = run, settings, workers, report
        self._limits: dict[str, float] = {
            "loader": settings.loader_seconds, "step": settings.step_seconds, "validation": settings.step_seconds,
        }  # fmt: skip
        self._now: tuple[Phase, float] = ("idle", time.monotonic())
        self._reported: tuple[Phase, float] | None = None  # what was last found too long
        self._reports = 0  # of the same
        self._ended = threading.Event()
        self._stop: Stalled | None = None
        self._thread: threading.Thread | None = None
        self._handler: Any = None

    def enter(self, phase: Phase) -> None:
        """Note that `phase` begins now; this is all that a step costs."""
        self._now = (phase, time.monotonic())

    def __enter__(self) -> Watchdog:
        limits = [limit for limit in self._limits.values() if limit]
        if limits:
            self._interval = min(_LONGEST, max(_SHORTEST, min(limits) / 4))
            if self._settings.abort and _SIGNAL is not None:
                self._handler = signal.signal(_SIGNAL, self._raise)
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            if self._handler is not None and _SIGNAL is not None:
                signal.signal(_SIGNAL, self._handler)

    def _watch(self) -> None:
        longest = max(self._limits.values())
        try:
            while not self._ended.wait(self._interval):
                # Only a thread that runs moves this moment on.
                faulthandler.dump_traceback_later(longest + 2 * _LONGEST, file=sys.__stderr__ or 2)
                self._check(time.monotonic())
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _check(self, time_now: float) -> None:
        """Compare the present phase with its limit; report it beyond the limit, twice the limit, four times ..."""
        now = self._now
        phase, since = now
        if self._reported is not None and self._reported != now:
            kind, began = self._reported
            self._reported, self._reports = None, 0
            self._report(f"watchdog: the {_name(kind)} ended after {since - began:.0f} s")
        limit = self._limits.get(phase, 0.0)
        if not limit or time_now - since <= limit * 2**self._reports:
            return
        self._reported, self._reports = now, self._reports + 1
        step = self.step()
        what = _WHAT[phase].format(step=step, next=step + 1, seconds=time_now - since, limit=limit)
        path, written = self._write(what, phase, step)
        self._report(f"watchdog: {what}; {written}; usual causes: {_CAUSES[phase]}")
        if self._settings.abort and self._now is now:
            self._abort(what, phase, path)

    def _write(self, what: str, phase: Phase, step: int) -> tuple[Path, str]:
        """Write the stacks of all processes; returns the file and a clause about it."""
        path = self.run / FOLDER / f"step-{step:07d}-{phase}{f'-rank{self._rank}' if self._rank else ''}.txt"
        workers = self._workers.stacks() if self._workers is not None else []
        moment = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        parts = [f"{moment}: {what}\n", f"\n== training process {os.getpid()}\n", own_stacks()]
        for pid, text in workers:
            parts += [f"\n== loader process {pid}\n", text]
        number = len(workers)
        if number:
            processes = f"the training process and {number} loader process{'es' if number > 1 else ''}"
        else:
            processes = "the training process"
        try:
            path.parent.mkdir(exist_ok=True)
            write_text(path, "".join(parts))
        except (OSError, ResumableStop) as error:
            sys.stderr.write(visible("".join(parts), keep="\n"))
            return path, f"{path} cannot be written ({error}), so the stacks of {processes} are above"
        return path, f"stacks of {processes}: {path}"

    def _abort(self, what: str, phase: Phase, path: Path) -> None:
        """End the run: by an error in the main thread, or without it if it does not return from a library."""
        change = " --set data.workers=0" if phase == "loader" else ""
        self._stop = Stalled(
            f"The run was ended (watchdog.abort): {what}; stacks are in {path}.",
            f"go on with: ocrctl train --resume -o {shell_quote(self.run)}{change}",
            between_steps=phase == "loader",
        )
        if sys.platform != "win32" and _SIGNAL is not None and self._handler is not None:
            signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)
            if self._ended.wait(_GRACE):
                return
        sys.stderr.write(visible(f"error: {self._stop.message}\nhint: {self._stop.hint}\n", keep="\n"))
        sys.stderr.flush()
        if self._workers is not None:
            self._workers.kill()
        os._exit(self._stop.exit_code)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            raise stop


def _name(phase: Phase) -> str:
    return {"loader": "wait for a batch", "validation": "validation batch"}.get(phase, phase)


def own_stacks() -> str:
    """Return the stacks of all threads of this process."""
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file=file, all_threads=True)
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def stack_files(run: Path) -> Sequence[Path]:
    """Return the files that watchdogs have written for `run`, by step."""
    return sorted((run / FOLDER).glob("step-*.txt"))
