"""Ctrl-C, SIGTERM, SIGHUP (a closed terminal) and SIGUSR1 (SLURM's warning) end a run after the step they fall in, once
the checkpoint is written; a second one ends it at once."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from ocrctl.shell import termination_signals


class StopRequested(BaseException):
    """Raised when a signal, `number`, ends the run. Not an Exception, so that no handler catches it by mistake."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class SignalWatch:
    """Remembers the first signal that ends a run while active (a context manager; main thread only)."""

    def __init__(self) -> None:
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
        if self.number is not None:
            raise StopRequested(number)  # at once, without saving: what was saved before stays
        self.number = number
