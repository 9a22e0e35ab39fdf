"""What is said to the C library before a model runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from ocrctl import runtime
from ocrctl.errors import UsageError
from ocrctl.runtime import available_cores, keep_memory, model_threads, share_cores, worker_processes

FAULTS = """
import ctypes, resource
from ocrctl.runtime import keep_memory
keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
for turn in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(100 << 20)
    ctypes.memset(block, 1, 100 << 20)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment: str) -> int:
    """Page faults (4 KiB or 2 MiB, as the system likes) of filling 100 MiB that were filled before."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", FAULTS], env=kept | environment, capture_output=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_memory_of_the_last_image_serves_the_next_unless_the_user_says_otherwise() -> None:
    assert faults() < 20
    assert faults(MALLOC_MMAP_THRESHOLD_="131072") > 40
    assert faults(GLIBC_TUNABLES="glibc.malloc.mmap_threshold=131072") > 40


@pytest.mark.parametrize(
    ("refused", "asked"),
    [((), [-3, -1]), ((-3,), [-3, -4, -1]), ((-3, -4), [-3, -4])],
    ids=["new glibc", "one that limits the threshold", "one that takes nothing"],
)
def test_glibc_is_not_left_half_told(
    refused: tuple[int, ...], asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    class Library:
        def mallopt(self, setting: int, value: int) -> int:
            seen.append(setting)
            return setting not in refused

    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: Library())
    keep_memory()
    assert seen == asked


@pytest.mark.parametrize(
    ("variables", "threads"),
    [({}, available_cores()), ({"OMP_NUM_THREADS": "3"}, 3), ({"OMP_NUM_THREADS": "5,2"}, 5),
     ({"OMP_NUM_THREADS": "x"}, available_cores()), ({"OMP_NUM_THREADS": "0"}, available_cores()),
     ({"OMP_NUM_THREADS": "8", "OMP_THREAD_LIMIT": "2"}, 2), ({"OMP_THREAD_LIMIT": "1"}, 1)],
)  # fmt: skip
def test_openmps_variables_are_heard(variables: dict[str, str], threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert model_threads() == threads


def test_more_threads_than_openmp_may_start_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "2")
    assert model_threads(2) == 2
    with pytest.raises(UsageError, match="OMP_THREAD_LIMIT=2"):
        model_threads(3)


def test_torch_is_told_of_openmps_limit_before_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that what is set here is taken back
        monkeypatch.delenv(name)
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    share_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE" and "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    share_cores()
    assert os.environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("cores", "quota", "usable"), [(16, None, 16), (16, 3.5, 4), (2, 8.0, 2), (4, 0.2, 1), (1, None, 1)]
)
def test_cores_are_those_of_the_affinity_mask_and_the_container(
    cores: int, quota: float | None, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "affinity_cores", lambda: cores)
    monkeypatch.setattr(runtime, "cgroup_cores", lambda: quota)
    assert available_cores() == usable
    assert [worker_processes(asked) for asked in (0, 1, 64)] == [0, 1, usable]
