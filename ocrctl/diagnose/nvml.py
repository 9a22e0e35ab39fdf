"""Query NVML, the library of every NVIDIA driver, which needs neither torch nor nvidia-smi on PATH.

NVML API reference: https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SM, UNCORRECTED, SINCE_BOOT = 1, 1, 0  # NVML's numbers for the clock, the kind of error and the counter
# Bits of the reasons for lower clocks that point to a fault; idling and a set power limit do not.
SLOWDOWNS = {0x08: "hardware slowdown", 0x20: "temperature (software)", 0x40: "temperature (hardware)",
             0x80: "power brake"}  # fmt: skip
MOST_PROCESSES = 64


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver: version ("580.65.06"), highest CUDA it serves ((13, 0)), cards seen."""

    version: str
    cuda: tuple[int, int]
    devices: int


@dataclass(frozen=True)
class Card:
    """What the driver tells about one card; None where it does not.

    persistence: the driver stays loaded without a client. ecc: error correction of the memory; errors: uncorrected
    ones since the last boot. clock, clock_limit: of the multiprocessors in MHz. slowed: reasons for lower clocks that
    point to a fault. processes: (name, id, bytes) of the programs that hold memory.
    """

    index: int
    name: str
    persistence: bool | None
    ecc: bool | None
    errors: int | None
    clock: int | None
    clock_limit: int | None
    slowed: tuple[str, ...]
    processes: tuple[tuple[str, int, int | None], ...]


class _Process(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong),
        ("instance", ctypes.c_uint), ("compute_instance", ctypes.c_uint),
    )  # fmt: skip


def load_nvml() -> Any | None:
    """Return NVML's library, None without a driver."""
    try:
        return ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None


def nvml_driver(library: Any | None = None) -> Driver | None:
    """Return the driver, None where there is none or it does not answer."""
    nvml = library or load_nvml()
    if nvml is None or nvml.nvmlInit_v2() != 0:
        return None
    try:
        version = ctypes.create_string_buffer(96)
        nvml.nvmlSystemGetDriverVersion(version, ctypes.c_uint(len(version)))
        cuda, devices = ctypes.c_int(0), ctypes.c_uint(0)
        nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(cuda))
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(devices))
        # The driver writes CUDA 13.1 as 13010.
        return Driver(version.value.decode(), (cuda.value // 1000, cuda.value % 1000 // 10), devices.value)
    finally:
        nvml.nvmlShutdown()


def nvml_cards(library: Any | None = None) -> list[Card]:
    """Return what the driver tells about each card, in its own order, which CUDA_VISIBLE_DEVICES does not change."""
    nvml = library or load_nvml()
    if nvml is None or nvml.nvmlInit_v2() != 0:
        return []
    try:
        count = ctypes.c_uint(0)
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        return [_card(nvml, index) for index in range(count.value)]
    finally:
        nvml.nvmlShutdown()


def _card(nvml: Any, index: int) -> Card:
    handle = ctypes.c_void_p()
    nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle))

    def number(function: str, *arguments: Any, kind: Any = ctypes.c_uint) -> int | None:
        value = kind(0)
        call: Callable[..., int] | None = getattr(nvml, function, None)  # old drivers lack the newer ones
        return value.value if call and call(handle, *arguments, ctypes.byref(value)) == 0 else None

    name = ctypes.create_string_buffer(96)
    nvml.nvmlDeviceGetName(handle, name, ctypes.c_uint(len(name)))
    persistence = number("nvmlDeviceGetPersistenceMode")
    current, pending = ctypes.c_uint(0), ctypes.c_uint(0)
    found = nvml.nvmlDeviceGetEccMode(handle, ctypes.byref(current), ctypes.byref(pending)) == 0
    errors = number(
        "nvmlDeviceGetTotalEccErrors", ctypes.c_int(UNCORRECTED), ctypes.c_int(SINCE_BOOT), kind=ctypes.c_ulonglong
    )
    reasons = number("nvmlDeviceGetCurrentClocksThrottleReasons", kind=ctypes.c_ulonglong) or 0
    return Card(
        index=index,
        name=name.value.decode(errors="replace"),
        persistence=None if persistence is None else bool(persistence),
        ecc=bool(current.value) if found else None,
        errors=errors,
        clock=number("nvmlDeviceGetClockInfo", ctypes.c_int(SM)),
        clock_limit=number("nvmlDeviceGetMaxClockInfo", ctypes.c_int(SM)),
        slowed=tuple(reason for bit, reason in SLOWDOWNS.items() if reasons & bit),
        processes=_processes(nvml, handle),
    )


def _processes(nvml: Any, handle: Any) -> tuple[tuple[str, int, int | None], ...]:
    call = getattr(nvml, "nvmlDeviceGetComputeRunningProcesses_v3", None)
    entries = (_Process * MOST_PROCESSES)()
    count = ctypes.c_uint(MOST_PROCESSES)
    if call is None or call(handle, ctypes.byref(count), entries) != 0:
        return ()
    found = []
    for entry in entries[: count.value]:
        used = None if entry.used == 2**64 - 1 else int(entry.used)  # not told in a container or on Windows
        found.append((_process_name(entry.pid), int(entry.pid), used))
    return tuple(sorted(found, key=lambda one: -(one[2] or 0)))


def _process_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "process"
