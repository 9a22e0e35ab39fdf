"""Ctrl-C, SIGTERM, SIGHUP (a closed terminal) and SIGUSR1 (SLURM's warning) end a run after the step they fall in, once
the checkpoint is written; a second one ends it at once. torchrun passes on a signal that its processes have received
from the terminal already: in a run of several processes a repetition within REPEATED seconds is no second signal."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

from ocrctl.shell import termination_signals

REPEATED = 3.0


class StopRequested(BaseException):
    """Raised when a signal, `number`, ends the run. Not an Exception, so that no handler catches it by mistake."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class SignalWatch:
    """Remembers the first signal that ends a run while active (a context manager; main thread only)."""

    def __init__(self, repeated: float = 0.0) -> None:
        """`repeated`: seconds in which further signals belong to the first."""
        self.repeated = repeated
        self._since = 0.0
        self.number: int | None = None
        self._old: dict[int, Any] = {}

    def __enter__(self) -> SignalWatch:
        for number in (signal.SIGINT, *termination_signals()):
            self._old[number] = signal.signal(number, self._remember)
        return self

    def listen(self) -> None:
        """Take the signals back from whoever has set a handler since."""
        for number in self._old:
            signal.signal(number, self._remember)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._since = number, time.monotonic()
        elif time.monotonic() - self._since >= self.repeated:
            raise StopRequested(number)  # at once, without saving: what was saved before stays
