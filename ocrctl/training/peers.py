"""What the processes of a run agree on, through torch.distributed: when to stop, what failed, sums and means.

The processes must leave the training loop in the same step, or one would wait for the others. After each step every
process posts its signal, failure and clock to a group on the CPU (gloo), and reads what all had posted one step before:
nothing waits for a device, and the exchange runs beside the next step. Alone, a process agrees with itself.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from ocrctl.errors import OcrctlError
from ocrctl.models.layers.whole_batch import over_processes

T = TypeVar("T")


@dataclass(frozen=True)
class Word:
    """What a process says of itself, and what holds for all: the greatest signal, whether any failed or has more work,
    and the seconds of training by the clock of the first process."""

    signal: int = 0
    failed: bool = False
    more: bool = False
    elapsed: float = 0.0


class Peers:
    """The processes that train together, seen from one of them."""

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        self.rank, self.world = rank, world
        self.failure: BaseException | None = None
        """what went wrong here; all processes end with it"""
        self._group: Any = None
        self._posted: tuple[Any, Tensor] | None = None

    @property
    def first(self) -> bool:
        """Return whether this process writes and reports."""
        return self.rank == 0

    def connect(self, timeout: timedelta) -> None:
        """Create the group on the CPU; torch.distributed is initialised. `timeout`: of every exchange."""
        if self.world > 1:
            self._group = dist.new_group(backend="gloo", timeout=timeout)

    def agree(self, own: Word) -> Word:
        """Post what holds here after this step; return what held everywhere after the step before."""
        if self.world == 1:
            return own
        before, self._posted = self._posted, self._post(own)
        return _read(before or self._posted)  # after the first step there is no step before

    def agree_now(self, own: Word) -> Word:
        """Return what holds everywhere; every process must call it at once."""
        return own if self.world == 1 else _read(self._post(own))

    def _post(self, own: Word) -> tuple[Any, Tensor]:
        values = torch.tensor(
            [own.signal, own.failed, own.more, own.elapsed if self.first else 0.0], dtype=torch.float64
        )
        work = dist.all_reduce(values, dist.ReduceOp.MAX, group=self._group, async_op=True)
        return work, values

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes by rank."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value, group=self._group)
        return found

    def of_first(self, value: T) -> T:
        """Return the value of the first process."""
        return self.gather(value)[0]

    def mean(self, values: Tensor) -> Tensor:
        """Average values over the processes on their device, in place."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

    def whole_batch(self) -> AbstractContextManager[None]:
        """Let losses take their sums over the batch of all processes (models.layers.whole_batch)."""
        return over_processes(self.world) if self.world > 1 else nullcontext()

    def end(self, error: BaseException) -> NoReturn:
        """End every process, the first with `error` and the others silently: all have found the same."""
        raise error if self.first else SystemExit(0)

    def end_with_failure(self) -> NoReturn:
        """End every process with what failed in one of them; every process must call it."""
        if self.world == 1:
            assert self.failure is not None
            raise self.failure
        found = self.gather(_portable(self.failure, self.rank))
        self.end(next(error for error in found if error is not None))

    def finish(self) -> None:
        """Wait until every process has left the training loop."""
        if self._posted:
            self._posted[0].wait()
        self.gather(None)


def _read(posted: tuple[Any, Tensor]) -> Word:
    work, values = posted
    work.wait()
    signal, failed, more, elapsed = values.tolist()
    return Word(int(signal), bool(failed), bool(more), elapsed)


def _portable(error: BaseException | None, rank: int) -> Exception | None:
    """Return an error that can be sent to another process, with the text of what it was."""
    if error is None or isinstance(error, OcrctlError):
        return error
    return RuntimeError(f"process {rank}: {type(error).__name__}: {error}")
