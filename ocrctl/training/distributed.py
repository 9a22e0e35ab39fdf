"""Lightning's DistributedDataParallel, set up for the processes that torchrun or srun started.

Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", 2020
(https://arxiv.org/abs/2006.15704): every process holds the whole model and a part of each batch, and gradients are
averaged while they are computed. gloo connects processes on CPUs, NCCL those on GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ocrctl.config.settings import TrainSettings
from ocrctl.data.datasets.look_ahead import LookAhead
from ocrctl.errors import OcrctlError, UsageError
from ocrctl.training.device import Accelerator
from ocrctl.training.peer_watch import PeerWatch, is_broken
from ocrctl.training.peers import Peers
from ocrctl.training.processes import ProcessInfo

STEPS_AHEAD = 2  # whose batches are loaded before a step: one to post a failure, one to hear of it


def ddp(train: TrainSettings, accelerator: Accelerator, process: ProcessInfo) -> DDPStrategy:
    """Return the strategy. Running statistics are averaged by the training step, so that DDP need not copy those of the
    first process before each forward pass."""
    slurm = process.launcher == "srun"
    return DDPStrategy(
        cluster_environment=SLURMEnvironment(auto_requeue=False) if slurm else TorchElasticEnvironment(),
        process_group_backend="nccl" if accelerator.device == "cuda" else "gloo",
        timeout=timeout(train),
        broadcast_buffers=False,
    )


def timeout(train: TrainSettings) -> timedelta:
    """Return how long a process waits for the others."""
    return timedelta(minutes=train.process_timeout)


def leave_signals_to_us(trainer: pl.Trainer) -> None:
    """Keep Lightning from asking all processes before each batch whether the first has received SIGTERM: it waits for
    the device, and training.signals and training.peers do it without."""
    loop: Any = trainer.fit_loop.epoch_loop
    if hasattr(loop, "_broadcast_sigterm_tensor"):
        loop._broadcast_sigterm_tensor = lambda: None


def look_ahead(loader: Iterator[Any], train: TrainSettings, peers: Peers) -> LookAhead:
    """Return the loader's batches with those of the next steps taken ahead."""

    def failed(error: BaseException) -> None:
        peers.failure = error

    ahead = LookAhead(loader, STEPS_AHEAD * train.accumulate, failed)
    ahead.fill()
    return ahead


@contextmanager
def joined_to(peers: Peers, watch_of: Callable[[], PeerWatch | None]) -> Iterator[None]:
    """Train inside: a lost process ends this one with an error that names it, and none leaves before the others.

    `watch_of` returns the watch of the other processes, None before they are connected. Raises ResumableStop for a
    lost process, UsageError for a model that does not use all of its parameters.
    """
    if peers.world == 1:
        yield
        return
    try:
        yield
    except OcrctlError:
        raise
    except Exception as error:
        if "finished reduction in the prior iteration" in str(error):
            raise UsageError(
                "Some parameters of this model take no part in its loss, which several processes do not support.",
                hint="name them in train.freeze; --preflight shows the first",
            ) from error
        watch = watch_of()
        if watch is None or not is_broken(error):
            raise
        raise watch.error() from error
    finally:
        if (watch := watch_of()) is not None:
            watch.close()
    peers.finish()
