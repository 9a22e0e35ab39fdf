"""One line on stderr that counts: share, rate and time left. Nothing when stderr is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from ocrctl.cli import console

_EVERY = 0.1  # seconds between two drawings


class ProgressLine:
    """Call it with (done, total); it wipes its line when left."""

    def __init__(self, unit: str) -> None:
        """`unit`: what is counted, in the plural."""
        self._unit = unit
        self._before: int | None = None
        self._start = time.monotonic()
        self._drawn = 0.0
        self._live = console.live()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._before is None:  # of a resumed run, only what comes from here on counts for the rate
            self._before, self._start = done, now
        if not self._live or done == self._before or (now - self._drawn < _EVERY and done < total):
            return
        self._drawn = now
        rate = (done - self._before) / max(now - self._start, 1e-9)
        left = (total - done) / rate if rate else 0.0
        text = f"{done:,}/{total:,} {self._unit}  {done / max(total, 1):.0%}  {rate:,.0f}/s  {_clock(left)} left"
        sys.stderr.write("\r\x1b[2K" + text[: console.columns() - 1])
        sys.stderr.flush()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
