"""Which exception means which lack, and what it says to change."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import cv2
import pytest
import torch

from ocrctl import shortages
from ocrctl.config.settings import DataSettings, Settings, TrainSettings
from ocrctl.shortages import shortage_of
from ocrctl.training.failures import resumable

WORKER = "Caught {} in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  ...\n{}: {}\n"
ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to ..."


@pytest.mark.parametrize(
    ("error", "lack"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), shortages.DEVICE_MEMORY),
        (RuntimeError(ALLOCATOR), shortages.MEMORY),
        (RuntimeError("could not create a primitive descriptor for a convolution"), shortages.MEMORY),
        (RuntimeError("could not create a primitive"), shortages.MEMORY),
        (RuntimeError("std::bad_alloc"), shortages.MEMORY),
        (MemoryError(), shortages.MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), shortages.MEMORY),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), shortages.LIBRARIES),
        (cv2.error("OpenCV(4.13.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed ..."), shortages.MEMORY),
        (RuntimeError(WORKER.format("RuntimeError", "RuntimeError", ALLOCATOR)), shortages.WORKER_MEMORY),
        (RuntimeError(WORKER.format("_ArrayMemoryError", "numpy._core._exceptions._ArrayMemoryError",
                                    "Unable to allocate 1.2 GiB for an array")), shortages.WORKER_MEMORY),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_1_2>: No space left"), shortages.SHARED),
        (RuntimeError("DataLoader worker (pid(s) 13542) exited unexpectedly"), shortages.DEAD_WORKER),
        (RuntimeError("DataLoader worker (pid 9) is killed by signal: Killed. "), shortages.DEAD_WORKER),
        (RuntimeError("can't start new thread"), shortages.PROCESSES),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), shortages.PROCESSES),
        (RuntimeError("received 0 items of ancdata"), shortages.FILES),
        (OSError(errno.EMFILE, "Too many open files"), shortages.FILES),
        (RuntimeError(WORKER.format("ValueError", "ValueError", "a bug")), None),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("could not create a primitive"), None),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), None),
        (ImportError("No module named 'lightning'"), None),
    ],
)  # fmt: skip
def test_the_text_of_an_exception_tells_what_is_shortage_error(error: BaseException, lack: object) -> None:
    assert shortage_of(error) is lack
    stop = resumable(error, Settings(), None)
    assert (stop is None) == (lack is None)
    assert stop is None or "enforce fail" not in stop.message


def test_the_hint_is_the_command_that_goes_on(tmp_path: Path) -> None:
    settings = Settings.model_construct(train=TrainSettings(batch_size=30, accumulate=2), data=DataSettings(workers=4))
    memory, dead = RuntimeError(ALLOCATOR), RuntimeError("DataLoader worker (pid 9) is killed by signal: Killed. ")
    smaller = "--set train.batch_size=15 --set train.accumulate=4"

    def hint(error: Exception, run: Path | None) -> str:
        stop = resumable(error, settings, run)
        assert stop is not None and stop.exit_code == 5
        return str(stop.hint)

    assert hint(memory, None) == (
        f"run the same command with {smaller}; if that is not enough, in this order: --set data.workers=0; --set "
        "train.mkldnn=false; a smaller input (model.width, page.height and page.width) or model. --auto-batch finds "
        "the largest batch that fits"
    )
    assert hint(dead, tmp_path) == "run the same command with --set data.workers=0"  # no run there yet
    (tmp_path / "config.toml").touch()
    assert hint(memory, tmp_path).startswith("nothing was saved yet; begin again: ocrctl train -p ")
    assert hint(dead, tmp_path) == f"go on with: ocrctl train --resume -o {tmp_path} --set data.workers=0"
    (tmp_path / "last.ckpt").touch()
    assert f"--from {tmp_path} -o NEW {smaller}" in hint(memory, tmp_path)


def test_device_memory_names_its_settings_in_order() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    one = Settings.model_construct(train=TrainSettings(batch_size=1, precision="32-true"), data=DataSettings())
    stop = resumable(error, one, None)
    assert stop is not None and "2.00 GiB" in stop.message
    assert str(stop.hint).startswith(
        "run the same command with --set train.precision=bf16-mixed; if that is not enough, in this order: "
        "--set train.activation_checkpointing=true (not every architecture); a smaller input"
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_what_is_allocated_is_said() -> None:
    stop = resumable(RuntimeError(ALLOCATOR), Settings(), None)
    assert stop is not None and re.search(
        r"\(the training process held up to \d+\.\d\d GiB; \d+\.\d\d GiB are free: .+\)", stop.message
    )
