"""Divide the batches of a run among its processes, so that the samples of a step do not depend on their number.

Sample n of a run is the same whatever trains it. A batch is a range of the stream: with `world` processes of B samples,
batch s holds the numbers s x world x B ... (s + 1) x world x B - 1, and process r takes those from (s x world + r) x B
on. One process with batches of world x B sees the same samples in the same steps. A run that resumes with fewer
processes takes each batch in several `rounds`, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from torch.utils.data import Sampler


@dataclass(frozen=True)
class Division:
    """How a batch is divided: process `rank` of `world` takes one part of it in each of `rounds`."""

    rank: int = 0
    world: int = 1
    rounds: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world or self.rounds < 1:
            raise ValueError(f"rank {self.rank} of {self.world} processes in {self.rounds} rounds")

    @property
    def parts(self) -> int:
        """Return the number of parts of a batch."""
        return self.world * self.rounds


class Share(list[int]):
    """The numbers of one part of a batch, as the list that they are; `batch` are those of the whole batch."""

    def __init__(self, batch: Sequence[int], part: int, parts: int) -> None:
        """Raises ValueError when the batch cannot be divided into equal parts."""
        if len(batch) % parts:
            raise ValueError(f"a batch of {len(batch)} samples cannot be divided into {parts} equal parts")
        super().__init__(batch[slice_of(len(batch), part, parts)])
        self.batch, self.part, self.parts = list(batch), part, parts


def share_of(numbers: Sequence[int]) -> Share:
    """Return `numbers` as a Share: a plain sequence is a whole batch."""
    return numbers if isinstance(numbers, Share) else Share(numbers, 0, 1)


def slice_of(size: int, part: int, parts: int) -> slice:
    """Return part `part` of `parts` of `size` things, as equal as they can be."""
    return slice(size * part // parts, size * (part + 1) // parts)


class StepSampler(Sampler[Share]):
    """Endless batches of consecutive draw numbers from `start` on, of which this process takes its parts."""

    def __init__(
        self,
        batch_size: int,
        start: int = 0,
        division: Division | None = None,
        wanted: Callable[[int], bool] | None = None,
    ) -> None:
        """`batch_size`: samples of a whole batch, over all processes. `wanted`: draw numbers for which it is False are
        skipped, by all processes alike. Raises ValueError when the batch cannot be divided equally."""
        self.batch_size, self.start, self.wanted = batch_size, start, wanted
        self.division = division or Division()
        Share(range(batch_size), 0, self.division.parts)

    def __iter__(self) -> Iterator[Share]:
        numbers = iter(count(self.start)) if self.wanted is None else filter(self.wanted, count(self.start))
        division = self.division
        while True:
            batch = list(islice(numbers, self.batch_size))
            for turn in range(division.rounds):
                yield Share(batch, turn * division.world + division.rank, division.parts)


def joined(parts: Sequence[Sequence[Sequence[int]]], rounds: int) -> list[list[int]]:
    """Return the whole batches of a step, from the numbers that each process trained on: parts[r][i] are those of
    process r in its i-th forward pass."""
    passes = [[n for own in parts for n in own[i]] for i in range(len(parts[0]))]
    return [[n for turn in passes[i : i + rounds] for n in turn] for i in range(0, len(passes), rounds)]
