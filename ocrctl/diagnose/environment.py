"""Check installed packages, threads, limits and shared memory."""

from __future__ import annotations

import re

from ocrctl.diagnose.checks import Check, Diagnosis, count, fail, ok, skipped, warn, with_examined
from ocrctl.diagnose.environment_probe import EnvironmentProbe
from ocrctl.diagnose.environment_system import EXAMINED as SYSTEM
from ocrctl.diagnose.environment_system import system_checks

SHOWN = ("torch", "lightning", "onnxruntime-gpu", "onnxruntime", "opencv-python", "numpy", "pydantic-settings", "lmdb")
# Distributions that unpack into the same folder: the one installed last wins, and uninstalling either breaks the other.
SAME_FOLDER = (
    ("onnxruntime", ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")),
    (
        "cv2",
        ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    ),
)
# The same modules apart from windows, which nothing here opens: harmless together in one version. rapidocr (extra
# `multilingual`) requires the second.
SAME_MODULES = frozenset({"opencv-python", "opencv-python-headless"})
# Built against one exact torch; with any other their import fails, and `import lightning` imports what it finds.
BOUND_TO_TORCH = ("torchvision", "torchaudio")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS")
SHARED_MEMORY_LOW = 512 * 1024**2  # bytes: docker gives 64 MiB, which a few workers' batches overflow (bus error)
LIGHTNING = "`import lightning` fails, and with it training"
EXAMINED = {
    "python": "the interpreter and the platform",
    "versions": "installed versions of the packages that ocrctl uses",
    "onnxruntime": "distributions that unpack into the folder onnxruntime",
    "cv2": "distributions that unpack into the folder cv2",
    "torchvision": "the torch version that torchvision was built for",
    "torchaudio": "the torch version that torchaudio was built for",
    "cores": "CPU affinity and the quota of the container",
    "threads": "threads of PyTorch against OMP_THREAD_LIMIT, cores and quota",
    "memory limit": "the memory limit of the container",
    "shared memory": "free space of /dev/shm",
    "open files": "the limit of open files of a process",
    **SYSTEM,
}
OPEN_FILES_LOW = 1024  # each batch a worker hands over may hold a file open


def diagnose_environment(probe: EnvironmentProbe, charset: str = "") -> Diagnosis:
    """Check versions, threads, memory, libraries, disks and limits of this environment. `charset`: characters that
    previews have to draw."""
    checks = [
        ok("python", probe.python()),
        _versions(probe),
        *(_one_of(probe, folder, packages) for folder, packages in SAME_FOLDER),
        *(_bound(probe, package) for package in BOUND_TO_TORCH),
        *_threads(probe),
        _memory(probe),
        _shared_memory(probe),
        _open_files(probe),
        *system_checks(probe, charset),
    ]
    return Diagnosis("environment", with_examined(checks, EXAMINED), f"Environment: {count(checks)}.")


def _versions(probe: EnvironmentProbe) -> Check:
    found = [(name, probe.version(name)) for name in SHOWN]
    return ok("versions", ", ".join(f"{name} {version}" for name, version in found if version))


def _one_of(probe: EnvironmentProbe, folder: str, packages: tuple[str, ...]) -> Check:
    there = [name for name in packages if probe.version(name)]
    if len(there) > 1 and SAME_MODULES.issuperset(there):
        versions = {name: probe.version(name) for name in there}
        if len(set(versions.values())) == 1:
            detail = (
                f"from {' and '.join(there)}, both {versions[there[0]]}: harmless; uninstalling one breaks the other"
            )
            return ok(folder, detail)
        shown = " and ".join(f"{name} {version}" for name, version in versions.items())
        fix = f"pip install --force-reinstall --no-deps {' '.join(f'{name}=={versions[there[0]]}' for name in there)}"
        detail = f"{shown} overwrite each other's files, and their versions differ"
        return fail(folder, detail, fix, "files of two versions are mixed: imports fail, or calls crash")
    if len(there) > 1:
        fix = f"pip uninstall {' '.join(there)}; then install only the one you want"
        meaning = "the one installed last wins, and uninstalling either breaks the other"
        return fail(folder, f"{' and '.join(there)} overwrite each other's files", fix, meaning)
    if not there:
        return fail(folder, "not installed", f"pip install {packages[0]}", "ocrctl requires it")
    return ok(folder, f"from {there[0]}")


def _bound(probe: EnvironmentProbe, package: str) -> Check:
    version, torch = probe.version(package), probe.version("torch")
    if version is None:
        return ok(package, "not installed, and not needed")
    wanted = next(
        (m[1] for line in probe.requires(package) if (m := re.match(r"torch\s*\(?==\s*([^\s;,)]+)", line))), ""
    )
    if wanted and torch and torch.partition("+")[0] != wanted.partition("+")[0]:
        fix = f"pip uninstall {package}, or install the one built for torch {torch}"
        detail = f"{package} {version} is built for torch {wanted}, here is {torch}"
        return fail(package, detail, fix, LIGHTNING)
    local, torch_local = version.partition("+")[2], (torch or "").partition("+")[2]
    if local and torch_local and local != torch_local:
        fix = f"install both from the same index, or pip uninstall {package}"
        return fail(package, f"{package} is built for {local}, torch for {torch_local}", fix, LIGHTNING)
    return ok(package, f"{version}, fits torch {torch}")


def _threads(probe: EnvironmentProbe) -> list[Check]:
    cores, quota = probe.cores(), probe.cgroup_cores()
    usable = cores if quota is None else min(float(cores), quota)
    seen = f"{cores} to run on" + ("" if quota is None else f", container quota {quota:g}")
    rows = [ok("cores", seen)]
    threads = probe.torch_threads()
    variables = probe.variables()
    detail = f"torch would use {threads}"
    settings = [f"{name}={variables[name]}" for name in THREAD_VARIABLES if name in variables]
    if settings:
        detail += f" ({', '.join(settings)})"
    limit = variables.get("OMP_THREAD_LIMIT", "")
    if limit.isdigit() and int(limit) < threads:
        fix = f"unset OMP_THREAD_LIMIT, export OMP_NUM_THREADS={limit}, or --set train.mkldnn=false"
        meaning = "a backward pass waits for threads that OpenMP does not start: training hangs"
        rows.append(fail("threads", f"{detail}: more than OMP_THREAD_LIMIT", fix, meaning))
    elif threads > usable:
        whole = max(1, int(usable))
        fix = f"export OMP_NUM_THREADS={whole}"
        meaning = "threads wait for each other: one would be faster"
        rows.append(warn("threads", f"{detail} on {usable:g} cores", fix, meaning))
    else:
        rows.append(ok("threads", detail))
    return rows


def _memory(probe: EnvironmentProbe) -> Check:
    limit = probe.cgroup_memory()
    return ok("memory limit", "none set" if limit is None else f"container limit {limit / 1024**3:.1f} GiB")


def _shared_memory(probe: EnvironmentProbe) -> Check:
    found = probe.shared_memory()
    if found is None:
        return skipped("shared memory", "no /dev/shm on this system")
    free, total = found
    seen = f"/dev/shm: {free / 1024**2:.0f} of {total / 1024**2:.0f} MiB free"
    if free < SHARED_MEMORY_LOW:
        fix = "docker run --shm-size=8g (or --ipc=host); until then --set data.workers=0"
        return warn("shared memory", seen, fix, "loader processes die of a bus error when it is full")
    return ok("shared memory", seen)


def _open_files(probe: EnvironmentProbe) -> Check:
    limit = probe.open_files()
    if limit is None:
        return ok("open files", "no limit known")
    if limit < OPEN_FILES_LOW:
        meaning = "each batch that a loader process hands over may hold a file open"
        return warn("open files", f"at most {limit}", "ulimit -n 65536", meaning)
    return ok("open files", f"at most {limit}")
