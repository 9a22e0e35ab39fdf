"""Send a tensor round a group of processes, as distributed training does: gloo on the CPU, NCCL on GPUs."""

from __future__ import annotations

import datetime
import multiprocessing
import queue
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ocrctl.diagnose.checks import first_line

PATIENCE = 20.0  # seconds for the whole group
NUMBERS = 1 << 18  # float32, 1 MiB
ROUNDS = 5

Member = Callable[[int, int, str, str, Any], None]


def member(rank: int, world: int, backend: str, store: str, answers: Any) -> None:
    """Join the group as `rank` of `world`, sum a tensor over it, and put (rank, seconds for each sum or the error)."""
    try:
        import torch
        from torch import distributed

        torch.set_num_threads(1)  # the threads of OpenMP do not survive a fork
        device = torch.device("cpu")
        if backend == "nccl":
            torch.cuda.set_device(rank)
            device = torch.device("cuda", rank)
        distributed.init_process_group(
            backend, store=distributed.FileStore(store, world), rank=rank, world_size=world,
            timeout=datetime.timedelta(seconds=PATIENCE),
        )  # fmt: skip
        try:
            numbers = torch.full((NUMBERS,), float(rank + 1), device=device)
            distributed.all_reduce(numbers)
            wanted = world * (world + 1) / 2
            if not bool((numbers == wanted).all()):
                raise RuntimeError(f"the sum over the group is {float(numbers[0]):g}, expected {wanted:g}")
            start = time.perf_counter()
            for _ in range(ROUNDS):
                distributed.all_reduce(numbers)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            answers.put((rank, (time.perf_counter() - start) / ROUNDS))
        finally:
            distributed.destroy_process_group()
    except Exception as error:  # whatever a broken network raises is the finding itself
        answers.put((rank, f"{type(error).__name__}: {first_line(error)}"))


def round_trip(backend: str, world: int, patience: float = PATIENCE, run: Member = member) -> float:
    """Return the seconds of one sum of 1 MiB over `world` processes. `run` replaces a member in tests.

    gloo forks on Linux, where importing torch again would take longer than all checks: call it before anything touches
    CUDA. Raises RuntimeError with the error of a member, or when the group does not answer in time.
    """
    fork = backend == "gloo" and sys.platform == "linux"
    context: Any = multiprocessing.get_context("fork" if fork else "spawn")
    with tempfile.TemporaryDirectory(prefix="ocrctl-") as folder:
        answers = context.Queue()
        store = str(Path(folder) / "store")
        members = [
            context.Process(target=run, args=(rank, world, backend, store, answers), daemon=True)
            for rank in range(world)
        ]
        for one in members:
            one.start()
        try:
            found: list[float] = []
            end = time.monotonic() + patience
            while len(found) < world:
                try:
                    rank, answer = answers.get(timeout=0.2)
                except queue.Empty:
                    dead = [one.exitcode for one in members if one.exitcode]
                    if dead:
                        raise RuntimeError(f"a process of the group ended with code {dead[0]}") from None
                    if time.monotonic() > end:
                        raise RuntimeError(f"no answer in {patience:g} s of {world - len(found)} processes") from None
                    continue
                if isinstance(answer, str):
                    raise RuntimeError(f"process {rank}: {answer}")
                found.append(answer)
            return max(found)
        finally:
            for one in members:
                one.join(1.0)
                if one.is_alive():
                    one.kill()
                    one.join()
