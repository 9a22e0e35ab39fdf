"""Query this system for `diagnose environment`; environment.py evaluates the results."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Protocol

from ocrctl.runtime import CGROUP, affinity_cores, cgroup_cores


class EnvironmentProbe(Protocol):
    """What environment.py needs to know. Sizes in bytes; None means unlimited or not there."""

    def python(self) -> str: ...
    def version(self, package: str) -> str | None: ...
    def requires(self, package: str) -> list[str]: ...
    def variables(self) -> Mapping[str, str]: ...
    def cores(self) -> int: ...
    def cgroup_cores(self) -> float | None: ...
    def cgroup_memory(self) -> int | None: ...
    def torch_threads(self) -> int: ...
    def shared_memory(self) -> tuple[int, int] | None: ...
    def open_files(self) -> int | None: ...


class SystemEnvironment:
    """Probe of this system; only torch_threads() imports torch."""

    def __init__(self, cgroup: Path = CGROUP, shm: Path = Path("/dev/shm")) -> None:
        self.cgroup = cgroup
        self.shm = shm

    def python(self) -> str:
        """Return interpreter and platform, such as "CPython 3.12.4 on Linux-x86_64"."""
        python = f"{platform.python_implementation()} {platform.python_version()}"
        return f"{python} on {platform.system()}-{platform.machine()}"

    def version(self, package: str) -> str | None:
        """Return the installed version of a distribution, without importing it."""
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    def requires(self, package: str) -> list[str]:
        """Return the requirement strings of an installed distribution."""
        try:
            return metadata.requires(package) or []
        except metadata.PackageNotFoundError:
            return []

    def variables(self) -> Mapping[str, str]:
        """Return the environment variables."""
        return os.environ

    def cores(self) -> int:
        """Return the cores this process may run on (taskset, cpusets), not those the machine has."""
        return affinity_cores()

    def cgroup_cores(self) -> float | None:
        """Return the container's CPU quota in cores (cgroup v2, then v1)."""
        return cgroup_cores(self.cgroup)

    def cgroup_memory(self) -> int | None:
        """Return the container's memory limit."""
        text = _read(self.cgroup / "memory.max") or _read(self.cgroup / "memory" / "memory.limit_in_bytes")
        if not text.isdigit() or int(text) >= 1 << 60:  # v1 writes "no limit" as a huge number
            return None
        return int(text)

    def torch_threads(self) -> int:
        """Return the number of threads that torch uses for one operation."""
        import torch

        return int(torch.get_num_threads())

    def shared_memory(self) -> tuple[int, int] | None:
        """Return (free, total) of /dev/shm, through which data workers hand over batches."""
        try:
            usage = shutil.disk_usage(self.shm)
        except OSError:
            return None
        return usage.free, usage.total

    def open_files(self) -> int | None:
        """Return the maximum number of open files of a process."""
        if sys.platform == "win32":
            return None
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
