"""Batches from worker processes, in an order that only (seed, position) decides."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ocrctl.data.recognition import TrainingWords
from ocrctl.errors import OcrctlError


class StepSampler(Sampler[list[int]]):
    """Endless batches of consecutive draw numbers, from `start` on; this rank takes every `world`-th batch."""

    def __init__(self, batch_size: int, start: int = 0, rank: int = 0, world: int = 1) -> None:
        self.batch_size, self.start, self.rank, self.world = batch_size, start, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        first = self.start + self.rank * self.batch_size
        while True:
            yield list(range(first, first + self.batch_size))
            first += self.batch_size * self.world


def to_tensors(batch: Any) -> dict[str, torch.Tensor] | OcrctlError:
    """A WordBatch's arrays to tensors without a copy; images become (N, C, H, W) in NHWC memory order, still uint8."""
    if isinstance(batch, OcrctlError):
        return batch
    return {
        "images": torch.from_numpy(batch.images).permute(0, 3, 1, 2),
        "labels": torch.from_numpy(batch.labels),
        "lengths": torch.from_numpy(batch.lengths),
        "ids": torch.from_numpy(batch.ids),
    }


def start_worker(_: int) -> None:
    """One thread per worker; Ctrl-C is the training process's business (it saves, then ends its workers)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


class StartedLoader:
    """One pass through an endless loader, whose processes are at work from the moment this is made.

    Lightning asks for an iterator twice before it takes the first batch; a DataLoader throws away at each asking what
    its processes have prepared, this one does not.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._batches: Iterator[Any] = iter(loader)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._batches)


def training_loader(
    words: TrainingWords,
    *,
    batch_size: int,
    start: int,
    workers: int,
    start_method: str = "auto",
    pin_memory: bool = False,
) -> StartedLoader:
    """Endless loader whose first batch begins with draw number `start`, already at work on it."""
    if start_method == "auto":
        start_method = "fork" if sys.platform == "linux" and not torch.cuda.is_initialized() else "spawn"
    dataset: Dataset[Any] = words  # type: ignore[assignment]  # map-style by __getitems__, without a length
    loader = DataLoader(
        dataset,
        batch_sampler=StepSampler(batch_size, start),
        num_workers=workers,
        collate_fn=to_tensors,
        worker_init_fn=start_worker,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        multiprocessing_context=start_method if workers else None,
        pin_memory=pin_memory,
    )
    return StartedLoader(loader)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
