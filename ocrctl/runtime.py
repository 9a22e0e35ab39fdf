"""Resolve devices, CPU threads and allocator settings; a requested CUDA device is never replaced by the CPU."""

from __future__ import annotations

import ctypes
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ocrctl.errors import MissingRequirement, UsageError

_DEVICE = re.compile(r"auto|cpu|cuda(?::(\d+))?")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # mallopt(3): bytes, bytes, blocks
CGROUP = Path("/sys/fs/cgroup")
DIAGNOSE = "what is missing: ocrctl diagnose cuda"


def parse_device(device: str) -> tuple[str, int | None]:
    """Parse `auto`, `cpu`, `cuda` or `cuda:1` into (kind, index or None). Raises UsageError for anything else."""
    match = _DEVICE.fullmatch(device)
    if match is None:
        raise UsageError(f"unknown device '{device}': use auto, cpu, cuda or cuda:INDEX.")
    return device.partition(":")[0], int(match[1]) if match[1] else None


def available_cores() -> int:
    """Count the CPU cores this process may use: its affinity, and no more than its container's quota, rounded up."""
    quota = cgroup_cores()
    return affinity_cores() if quota is None else max(1, min(affinity_cores(), math.ceil(quota)))


def affinity_cores() -> int:
    """Count the CPU cores this process may run on (taskset, cpusets), not those the machine has; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_cores(root: Path = CGROUP) -> float | None:
    """Read the container's CPU quota in cores (cgroup v2, then v1); None without one."""
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


def worker_processes(requested: int, sharing: int = 1) -> int:
    """Limit the loader processes to the cores this process may use; `sharing` training processes divide them."""
    return min(requested, max(1, available_cores() // sharing))


def model_threads(requested: int | None = None, sharing: int = 1) -> int:
    """Return the CPU threads of a model: `requested`, or OMP_NUM_THREADS where it is set, or `available_cores`, which
    `sharing` training processes divide.

    Never more than OMP_THREAD_LIMIT: PyTorch waits for threads that OpenMP does not start, or continues without their
    share of the result. Raises UsageError when more than that or fewer than one are requested.
    """
    if requested is not None and requested < 1:
        raise UsageError(f"threads should be 1 or more, found {requested}.")
    limit = _number("OMP_THREAD_LIMIT")
    if requested and limit and requested > limit:
        raise UsageError(
            f"{requested} threads were asked for, but OMP_THREAD_LIMIT={limit} allows no more than {limit}."
        )
    wanted = requested or _number("OMP_NUM_THREADS") or max(1, available_cores() // sharing)
    return min(wanted, limit or wanted)


def _number(variable: str) -> int | None:
    """Read a number from an environment variable of OpenMP, the first of a list; None when it holds none above 0."""
    first = os.environ.get(variable, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else None


def share_cores() -> None:
    """Let OpenMP threads sleep between operators instead of spinning; a setting of the user's own wins.

    Spinning threads take the cores that decode the next images: with every core busy, two of PyTorch's threads then
    run several times slower than one. OpenMP reads this when torch is first imported, so call it before that. Where
    OMP_THREAD_LIMIT allows fewer threads than torch would start, OMP_NUM_THREADS is set to match (`model_threads`).
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
    except (AttributeError, OSError, TypeError):  # no such function, or no C library
        return
    # glibc before 2.35 refuses so large a threshold. The default must not stay: setting any of these stops glibc from
    # raising the threshold of 128 KiB by itself, and all larger blocks would be mapped anew.
    if mallopt(_M_MMAP_THRESHOLD, 1 << 30) or mallopt(_M_MMAP_MAX, 0):
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


@dataclass(frozen=True)
class MemoryLimit:
    """Bytes that this process may still allocate, and what limits them."""

    free: int
    reason: str


def free_memory(root: Path = CGROUP, meminfo: Path = Path("/proc/meminfo")) -> MemoryLimit | None:
    """Return the strictest limit on the memory of this process: its container (cgroup v2, then v1), `ulimit -v` or -d,
    or what the machine has left. None where the system does not say."""
    found = [*_cgroup_free(root), *_rlimit_free()]
    for line in _text(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            found.append(MemoryLimit(int(line.split()[1]) << 10, "available memory of the machine"))
    return min(found, key=lambda limit: limit.free, default=None)


def _cgroup_free(root: Path) -> list[MemoryLimit]:
    for limit, used in (("memory.max", "memory.current"),
                        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):  # fmt: skip
        total, held = _text(root / limit), _text(root / used)
        if total.isdigit() and held.isdigit() and int(total) < 1 << 60:  # v1 writes "no limit" as a huge number
            return [MemoryLimit(max(0, int(total) - int(held)), f"memory limit of the container, {_gib(int(total))}")]
    return []


def _rlimit_free() -> list[MemoryLimit]:
    if sys.platform == "win32":
        return []
    import resource

    found = []
    for kind, name, held in (
        (resource.RLIMIT_AS, "ulimit -v", "VmSize"),
        (resource.RLIMIT_DATA, "ulimit -d", "VmData"),
    ):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            found.append(MemoryLimit(max(0, soft - process_bytes(held)), f"{name}, {_gib(soft)}"))
    return found


def process_bytes(name: str) -> int:
    """Return a figure of /proc/self/status in bytes: VmRSS, VmHWM (the highest VmRSS), VmSize, VmData; 0 where there
    is none."""
    match = re.search(rf"^{name}:\s+(\d+) kB$", _text(Path("/proc/self/status")), re.MULTILINE)
    return int(match[1]) << 10 if match else 0


def limit_memory(extra: int) -> None:
    """Let this process allocate at most `extra` bytes more (RLIMIT_DATA of Linux; elsewhere nothing): an allocation
    beyond them fails here, before the system ends a process of its choice."""
    if sys.platform == "linux":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = process_bytes("VmData") + extra
        resource.setrlimit(
            resource.RLIMIT_DATA, (wanted if soft == resource.RLIM_INFINITY else min(soft, wanted), hard)
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def driver_gpu_count() -> int:
    """Count the GPUs that the NVIDIA driver lists, 0 without a driver; calls the driver, so torch is not imported."""
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


def computes_bf16(device: str) -> bool:
    """Return whether `device` computes bfloat16 natively: CUDA capability 8.0 on, CPUs with AVX512-BF16 or AMX-BF16,
    ARM with BF16."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_capability()[0] >= 8
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    line = next((line for line in text.splitlines() if line.lower().startswith(("flags", "features"))), "")
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(line.split())


@contextmanager
def mkldnn(enabled: bool) -> Iterator[None]:
    """Run the CPU's operators with or without oneDNN inside."""
    import torch

    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = before and enabled  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before  # type: ignore[assignment]
