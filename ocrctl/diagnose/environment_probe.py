"""Query this system for `diagnose environment`; environment.py evaluates the results."""

from __future__ import annotations

import datetime
import locale
import os
import platform
import re
import shutil
import site
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Protocol

from ocrctl.diagnose.checks import first_line
from ocrctl.runtime import CGROUP, affinity_cores, cgroup_cores

OPENMP = re.compile(r"^lib(gomp|iomp5|omp)\b")
DRAWN = 400  # characters whose glyphs are compared


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
    def cgroup_processes(self) -> int | None: ...
    def openmp_libraries(self) -> list[str]: ...
    def machine(self) -> str: ...
    def cpu_flags(self) -> frozenset[str] | None: ...
    def import_opencv(self) -> str: ...
    def undrawable(self, charset: str) -> list[str] | None: ...
    def encodings(self) -> dict[str, str]: ...
    def disks(self) -> list[tuple[str, int, int | None]]: ...
    def now(self) -> datetime.datetime: ...
    def installed(self) -> datetime.datetime: ...
    def shared_memory(self) -> tuple[int, int] | None: ...
    def open_files(self) -> int | None: ...


class SystemEnvironment:
    """Probe of this system. Nothing imports torch: that alone takes longer than all checks together."""

    def __init__(
        self, cgroup: Path = CGROUP, shm: Path = Path("/dev/shm"), packages: Sequence[str] | None = None
    ) -> None:
        """`packages`: folders of installed packages."""
        self.cgroup = cgroup
        self.shm = shm
        self.packages = site.getsitepackages() if packages is None else list(packages)

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
        """Return the number of threads that torch would use for one operation: what the variables of OpenMP and MKL
        say, else one for each core of the affinity."""
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            first = os.environ.get(name, "").partition(",")[0].strip()
            if first.isdecimal() and int(first):
                return int(first)
        return affinity_cores()

    def cgroup_processes(self) -> int | None:
        """Return the container's limit of processes and threads."""
        text = _read(self.cgroup / "pids.max") or _read(self.cgroup / "pids" / "pids.max")
        return int(text) if text.isdigit() else None

    def openmp_libraries(self) -> list[str]:
        """Return the OpenMP libraries inside installed packages, relative to their folder."""
        found = []
        for folder in map(Path, dict.fromkeys(self.packages)):
            for pattern in ("*/lib*omp*", "*/lib/lib*omp*", "*.libs/lib*omp*", "*/.dylibs/lib*omp*", "lib*omp*"):
                found += [str(path.relative_to(folder)) for path in folder.glob(pattern) if OPENMP.search(path.name)]
        return sorted(set(found))

    def machine(self) -> str:
        """Return the architecture of the CPU, such as "x86_64"."""
        return platform.machine()

    def cpu_flags(self) -> frozenset[str] | None:
        """Return the flags of the CPU; None where the system has no /proc/cpuinfo."""
        lines = _read(Path("/proc/cpuinfo")).splitlines()
        line = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
        return frozenset(line.partition(":")[2].split()) or None

    def import_opencv(self) -> str:
        """Import cv2; returns the error, "" if there is none."""
        try:
            import cv2
        except Exception as error:  # whatever a broken library raises is the finding itself
            return first_line(error)
        return "" if hasattr(cv2, "imdecode") else "cv2 has no imdecode: its files are incomplete"

    def undrawable(self, charset: str) -> list[str] | None:
        """Return the characters that previews cannot draw, of DRAWN spread over `charset`; None without a Unicode
        font."""
        import cv2

        if not hasattr(cv2, "FontFace"):
            return None
        from ocrctl.data.images.draw_text import drawable

        step = max(1, len(charset) // DRAWN)
        return [char for char in charset[::step] if not drawable(char)]

    def encodings(self) -> dict[str, str]:
        """Return the encodings of stdout, of file names and of files opened without an encoding."""
        stdout = getattr(sys.stdout, "encoding", None) or "utf-8"
        return {
            "stdout": stdout,
            "file names": sys.getfilesystemencoding(),
            "locale": locale.getpreferredencoding(False),
        }

    def disks(self) -> list[tuple[str, int, int | None]]:
        """Return (folder, free bytes, free files or None) of the current and the temporary folder."""
        found = []
        for folder in dict.fromkeys((os.getcwd(), tempfile.gettempdir())):
            free, files = shutil.disk_usage(folder).free, None
            if hasattr(os, "statvfs") and (status := os.statvfs(folder)).f_files:
                files = status.f_favail
            found.append((folder, free, files))
        return found

    def now(self) -> datetime.datetime:
        """Return the system's time, UTC."""
        return datetime.datetime.now(datetime.UTC)

    def installed(self) -> datetime.datetime:
        """Return when the newest of this package's modules was written, UTC."""
        files = [path.stat().st_mtime for path in Path(__file__).parent.glob("*.py")]
        return datetime.datetime.fromtimestamp(max(files), datetime.UTC)

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
