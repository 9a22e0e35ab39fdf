"""Resolve devices, CPU threads and allocator settings; a requested CUDA device is never replaced by the CPU."""

from __future__ import annotations

import ctypes
import math
import os
import re
import sys
from pathlib import Path

from ocrctl.errors import MissingRequirement, UsageError

_DEVICE = re.compile(r"auto|cpu|cuda(?::(\d+))?")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # mallopt(3): bytes, bytes, blocks
CGROUP = Path("/sys/fs/cgroup")
DIAGNOSE = "what is missing: ocrctl diagnose cuda"


def parse_device(device: str) -> tuple[str, int | None]:
    """`auto`, `cpu`, `cuda` or `cuda:1` -> (kind, index or None). Raises UsageError for anything else."""
    match = _DEVICE.fullmatch(device)
    if match is None:
        raise UsageError(f"unknown device '{device}': use auto, cpu, cuda or cuda:INDEX.")
    return device.partition(":")[0], int(match[1]) if match[1] else None


def available_cores() -> int:
    """CPU cores this process may use: its affinity, and no more than its container's quota, rounded up."""
    quota = cgroup_cores()
    return affinity_cores() if quota is None else max(1, min(affinity_cores(), math.ceil(quota)))


def affinity_cores() -> int:
    """CPU cores this process may run on (taskset, cpusets), not those the machine has; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_cores(root: Path = CGROUP) -> float | None:
    """The container's CPU quota in cores (cgroup v2, then v1), None without one."""
    quota, _, period = _text(root / "cpu.max").partition(" ")
    if not quota:
        quota, period = (_text(root / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    if not quota.isdigit() or not period.isdigit() or not int(quota) or not int(period):  # "max" or -1
        return None
    return int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def worker_processes(asked: int) -> int:
    """Loader processes that run where `asked` are: no more than this process may use cores."""
    return min(asked, available_cores())


def model_threads(asked: int | None = None) -> int:
    """CPU threads for a model: `asked`, or OMP_NUM_THREADS where it is set, or the cores this process may use.

    Never more than OMP_THREAD_LIMIT: PyTorch waits for threads that OpenMP does not start, or goes on without their
    share of the result. Raises UsageError when more are asked for, or fewer than one.
    """
    if asked is not None and asked < 1:
        raise UsageError(f"threads should be 1 or more, found {asked}.")
    limit = _number("OMP_THREAD_LIMIT")
    if asked and limit and asked > limit:
        raise UsageError(f"{asked} threads were asked for, but OMP_THREAD_LIMIT={limit} allows no more than {limit}.")
    wanted = asked or _number("OMP_NUM_THREADS") or available_cores()
    return min(wanted, limit or wanted)


def _number(variable: str) -> int | None:
    """The number in an environment variable of OpenMP, the first of a list; None when it holds none above 0."""
    first = os.environ.get(variable, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else None


def share_cores() -> None:
    """Let OpenMP threads sleep between operators instead of spinning; a setting of the user's own wins.

    Spinning threads take the cores that decode the next images: with every core busy, two of PyTorch's threads then
    run several times slower than one. OpenMP reads this when torch is first imported, so call it before that. Where
    OMP_THREAD_LIMIT allows fewer threads than torch would count on, torch is told (`model_threads`).
    """
    if "torch" in sys.modules:
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if _number("OMP_THREAD_LIMIT"):
        os.environ["OMP_NUM_THREADS"] = str(model_threads())


def keep_memory() -> None:
    """Let the C library keep freed memory for the next image; the user's own settings of it win.

    glibc gives blocks of more than 32 MiB back to the system, which a detector's maps are at every layer: the pages are
    then cleared and mapped anew each time. Other C libraries are left alone.
    """
    chosen = any(
        f"MALLOC_{name}_" in os.environ for name in ("MMAP_THRESHOLD", "MMAP_MAX", "TRIM_THRESHOLD", "TOP_PAD")
    )
    if chosen or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function, or no C library to ask
        return
    # glibc before 2.35 refuses so large a threshold. It must not be left where it is: any setting ends its growing by
    # itself from 128 KiB, and all larger blocks would be mapped anew.
    if mallopt(_M_MMAP_THRESHOLD, 1 << 30) or mallopt(_M_MMAP_MAX, 0):
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def driver_gpu_count() -> int:
    """GPUs the NVIDIA driver lists, 0 without a driver; asks the driver itself, so that torch need not be imported."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def torch_device(device: str) -> str:
    """Resolve `device` for PyTorch: `cpu` or `cuda:i`.

    Raises UsageError for an unknown name, MissingRequirement when CUDA was asked for and cannot be used.
    """
    kind, index = parse_device(device)
    if kind == "cpu":
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        if kind == "auto":
            return "cpu"
        raise MissingRequirement(
            f"device '{device}' was asked for, but PyTorch {torch.__version__} finds no CUDA device.", hint=DIAGNOSE
        )
    chosen = index or 0
    if chosen >= count:
        raise MissingRequirement(f"device '{device}' was asked for, but there are {count} CUDA devices.", hint=DIAGNOSE)
    return f"cuda:{chosen}"
