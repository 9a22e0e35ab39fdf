"""What is said to the C library before a model runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource
from ocrctl.inference.devices import keep_memory
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
def test_memory_of_the_last_picture_serves_the_next_unless_the_user_says_otherwise() -> None:
    assert faults() < 20
    assert faults(MALLOC_MMAP_THRESHOLD_="131072") > 40
    assert faults(GLIBC_TUNABLES="glibc.malloc.mmap_threshold=131072") > 40
