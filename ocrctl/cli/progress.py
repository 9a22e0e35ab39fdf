"""The progress bar of a command: one line on stderr with the share done, the rate and the time left, drawn by rich.

Nothing is drawn, and rich is not imported, unless stderr is a terminal that takes live output (`console.live`) and the
operation lasts longer than half a second.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from ocrctl.cli import console
from ocrctl.escape import duration

if TYPE_CHECKING:
    from rich.live import Live

_DELAY = 0.5  # seconds before the bar appears: short operations need none
_INTERVAL = 0.1  # seconds between two drawings
_WIDEST, _NARROWEST = 40, 8  # columns of the bar itself; a terminal with less room for it shows the text alone


class ProgressBar:
    """Call it with (done, total), total None while unknown; it erases its line when left.

    What the command prints meanwhile appears above the bar. No thread draws it, so that processes can be forked.
    """

    def __init__(self, unit: str) -> None:
        """`unit`: what is counted, in the plural."""
        self._unit = unit
        self._before: int | None = None
        self._start = time.monotonic()
        self._drawn = 0.0
        self._enabled = console.live()
        self._live: Live | None = None

    def __call__(self, done: int, total: int | None = None) -> None:
        if not self._enabled:
            return
        now = time.monotonic()
        if self._before is None or done < self._before:  # the rate counts from the first call, and from a new phase
            self._before, self._start = done, now
        if done == self._before or now - self._start < _DELAY or now - self._drawn < _INTERVAL:
            return
        self._drawn = now
        self._draw(done, total, (done - self._before) / max(now - self._start, 1e-9))

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._erase()

    def _draw(self, done: int, total: int | None, rate: float) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress_bar import ProgressBar as Bar
        from rich.table import Table
        from rich.text import Text

        room = console.columns() - 1
        text = progress_text(done, total, rate, self._unit)[:room]
        line = Table.grid(padding=(0, 1))
        bar = min(_WIDEST, room - len(text) - 1)
        if bar >= _NARROWEST:
            line.add_row(Bar(total, min(done, total or done), width=bar, pulse=total is None), Text(text, no_wrap=True))
        else:
            line.add_row(Text(text, no_wrap=True))
        live = self._live  # a line of another thread may erase it meanwhile
        if live is None:
            live = self._live = Live(
                console=Console(stderr=True, force_terminal=True),
                auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            live.start()
            console.set_live(self._erase)
        live.update(line, refresh=True)

    def _erase(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            console.set_live(None)
            live.stop()


def progress_text(done: int, total: int | None, rate: float, unit: str) -> str:
    """Format the text beside the bar: `120/500 images  24%  35/s  0:11 left`, or `120 images  35/s` without a total."""
    if total is None:
        return f"{done:,} {unit}  {_per_second(rate)}"
    left = duration((total - done) / rate) if rate else "-:--"
    return f"{done:,}/{total:,} {unit}  {done / max(total, 1):.0%}  {_per_second(rate)}  {left} left"


def _per_second(rate: float) -> str:
    if rate < 0.1:
        return f"{60 * rate:.1f}/min"
    return f"{rate:.1f}/s" if rate < 10 else f"{rate:,.0f}/s"
