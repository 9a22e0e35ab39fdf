"""The training loader: order, and that asking for an iterator again loses nothing."""

from __future__ import annotations

import dataclasses
import multiprocessing
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from ocrctl.data.datasets.loader import training_loader
from ocrctl.data.datasets.recognition import WordBatch
from ocrctl.errors import ResumableStop
from ocrctl.runtime import affinity_cores


class Numbers:
    """A stream whose images hold their own draw number."""

    def __getitems__(self, numbers):
        ids = np.asarray(numbers, dtype=np.int64)
        images = np.broadcast_to(ids.astype(np.uint8)[:, None, None, None], (len(ids), 4, 8, 1)).copy()
        return WordBatch(images, np.ones((len(ids), 1), np.int64), np.ones(len(ids), np.int64), ids)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_go_on_where_they_were_however_often_an_iterator_is_asked_for(workers: int):
    loader = training_loader(Numbers(), batch_size=3, start=6, workers=workers)
    iter(loader)
    first = next(iter(loader))
    second = next(iter(loader))
    assert first["ids"].tolist() == [6, 7, 8]
    assert second["ids"].tolist() == [9, 10, 11]
    assert first["images"].shape == (3, 1, 4, 8)
    assert first["images"][:, 0, 0, 0].tolist() == [6, 7, 8]
    loader.close()


class Slow(Numbers):
    """A stream that is never done with its second batch."""

    def __getitems__(self, numbers):
        if numbers[0]:
            time.sleep(600)
        return super().__getitems__(numbers)


class Large(Numbers):
    """A stream whose batches take a while to be handed over."""

    def __getitems__(self, numbers):
        batch = super().__getitems__(numbers)
        return dataclasses.replace(batch, images=batch.images.repeat(200, 1).repeat(50, 2))


def test_closing_does_not_wait_for_a_lock_of_a_killed_process():
    """A process is killed while it asks whether it should end; the lock of that event then stays taken."""
    loader = training_loader(Numbers(), batch_size=3, start=0, workers=2)
    next(loader)
    lock = loader._batches._workers_done_event._cond  # type: ignore[attr-defined]
    taken, closed = threading.Event(), threading.Event()

    def hold() -> None:  # another thread is as good as another process: the lock is of one thread
        lock.acquire()
        taken.set()
        closed.wait(60)
        lock.release()

    threading.Thread(target=hold, daemon=True).start()
    assert taken.wait(30)
    closing = threading.Thread(target=loader.close, daemon=True)
    closing.start()
    closing.join(30)
    ended = not closing.is_alive()
    closed.set()
    assert ended
    assert not multiprocessing.active_children()


def pinning() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "_pin_memory_loop" in thread.name]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_closing_says_nothing_of_a_batch_on_its_way_to_the_device(monkeypatch: pytest.MonkeyPatch):
    """PyTorch's own thread, with its calls to a device left out."""
    for name, value in (
        ("is_available", True), ("current_accelerator", torch.device("cuda")), ("current_device_index", 0),
        ("set_device_index", None),
    ):  # fmt: skip
        monkeypatch.setattr(torch.accelerator, name, lambda *_, value=value, **__: value)
    monkeypatch.setattr("torch.utils.data._utils.pin_memory.pin_memory", lambda data, device=None: data)
    for batches in range(5, 13):
        loader = training_loader(Large(), batch_size=4, start=0, workers=2, pin_memory=True)
        assert len([next(loader) for _ in range(batches)]) == batches
        assert len(pinning()) == 1
        loader.close()
        assert not pinning() and not multiprocessing.active_children()


UNCLOSED = """
from tests.data.datasets.test_loader import Numbers
from ocrctl.data.datasets.loader import training_loader
loader = training_loader(Numbers(), batch_size=1, start=0, workers=2)
next(loader)
"""


def test_a_loader_that_nobody_closes_ends_with_its_process():
    done = subprocess.run(
        [sys.executable, "-c", UNCLOSED], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[3]
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_closing_ends_the_processes_at_once_whatever_they_do():
    loader = training_loader(Slow(), batch_size=3, start=0, workers=2)
    assert next(loader)["ids"].tolist() == [0, 1, 2]
    processes = multiprocessing.active_children()
    handler = signal.getsignal(signal.SIGCHLD)
    start = time.monotonic()
    loader.close()
    assert time.monotonic() - start < 4 and signal.getsignal(signal.SIGCHLD) is handler
    assert len(processes) == 2 and not any(process.is_alive() for process in processes)
    again = training_loader(Numbers(), batch_size=3, start=0, workers=1)  # PyTorch holds nothing against the next one
    assert next(again)["ids"].tolist() == [0, 1, 2] and next(again)["ids"].tolist() == [3, 4, 5]
    again.close()


def test_a_batch_without_room_in_shared_memory_is_an_error_and_no_wait(monkeypatch: pytest.MonkeyPatch):
    def full(tensor: torch.Tensor) -> None:
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left on device (28)"
        )

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    alone = training_loader(Numbers(), batch_size=3, start=0, workers=0)  # a batch that goes nowhere needs no room
    assert next(alone)["ids"].tolist() == [0, 1, 2]
    loader = training_loader(Numbers(), batch_size=3, start=0, workers=1, start_method="fork")
    batch = next(loader)
    loader.close()
    assert isinstance(batch, ResumableStop) and "--shm-size" in str(batch.hint) and "No space left" in batch.message


TINY = """
from tests.data.datasets.test_loader import Large
from ocrctl.data.datasets.loader import training_loader
loader = training_loader(Large(), batch_size=8, start=0, workers=1)
print(type(next(loader)).__name__)
loader.close()
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0
    if sys.platform == "linux"
    else True,
    reason="needs a mount namespace of its own",
)
def test_a_tiny_dev_shm():
    mount = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, sys.executable, TINY],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "ResumableStop", "")


def test_pytorch_has_no_say_in_the_number_of_processes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader = training_loader(Numbers(), batch_size=3, start=0, workers=affinity_cores() + 1)
    assert next(loader)["ids"].tolist() == [0, 1, 2]
    loader.close()
