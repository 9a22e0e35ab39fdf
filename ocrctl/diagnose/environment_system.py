"""Check what surrounds the packages: OpenMP runtimes, oneDNN, shared libraries, text, disks, clock, container."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping

from ocrctl.diagnose.checks import Check, fail, ok, skipped, some, warn
from ocrctl.diagnose.environment_probe import EnvironmentProbe

FAST = {"x86_64": {"avx2"}, "amd64": {"avx2"}, "aarch64": {"asimd"}, "arm64": {"asimd"}}  # CPU flags oneDNN builds on
SLOW_ISA = ("SSE41", "AVX")  # values of ONEDNN_MAX_CPU_ISA below AVX2
DISK_LOW, DISK_EMPTY = 2 * 1024**3, 256 * 1024**2  # bytes; a checkpoint of a large model is 0.5 GB
FILES_LOW = 1000  # free inodes
PROCESS_MEMORY = 700 * 1024**2  # bytes of a training process with PyTorch, before it has a model
WORKER_MEMORY = 250 * 1024**2  # bytes of a loader process
PROCESSES_LOW = 128  # a training with eight loader processes and OpenMP threads needs about as many
CLOCK_SLACK = datetime.timedelta(days=1)  # a file system of another time zone
EXAMINED = {
    "OpenMP": "OpenMP libraries that the installed packages carry, and KMP_DUPLICATE_LIB_OK",
    "oneDNN": "CPU flags, and variables that limit oneDNN or make it print",
    "cv2 import": "importing cv2 with its shared libraries",
    "locale": "encodings of output and file names",
    "fonts": "glyphs of the preview font for the charset",
    "disk": "free space and files of the current and the temporary folder",
    "clock": "the system's time against the installed files",
    "container": "memory and process limits of the container against its cores",
}


def system_checks(probe: EnvironmentProbe, charset: str) -> list[Check]:
    """Return the rows about the system. `charset`: the characters that previews have to draw."""
    return [
        _openmp(probe),
        _onednn(probe.variables(), probe.machine(), probe.cpu_flags()),
        *_opencv(probe, charset),
        _locale(probe),
        _disk(probe),
        _clock(probe),
        _container(probe),
    ]


def _openmp(probe: EnvironmentProbe) -> Check:
    kinds: dict[str, list[str]] = {}
    for path in probe.openmp_libraries():
        if found := re.search(r"lib(gomp|iomp5|omp)\b", path):
            kinds.setdefault(found[1], []).append(path)
    shown = "; ".join(f"{kind}: {some(paths)}" for kind, paths in kinds.items()) or "none beside the system's"
    intel = [kind for kind in kinds if kind != "gomp"]
    fix = "install all packages from one source (pip or conda); uninstall the package that brings the second runtime"
    if intel and len(kinds) > 1:
        meaning = "two OpenMP runtimes in one process: `OMP: Error #15`, or threads that wait for each other"
        return fail("OpenMP", shown, fix, meaning)
    if "KMP_DUPLICATE_LIB_OK" in probe.variables():
        meaning = "hides `OMP: Error #15`; two runtimes then compute wrong results or hang"
        return warn("OpenMP", f"KMP_DUPLICATE_LIB_OK is set; {shown}", "unset KMP_DUPLICATE_LIB_OK", meaning)
    return ok("OpenMP", shown)


def _onednn(variables: Mapping[str, str], machine: str, flags: frozenset[str] | None) -> Check:
    def value(name: str) -> str:
        return variables.get(f"ONEDNN_{name}", variables.get(f"DNNL_{name}", ""))

    if value("VERBOSE") not in ("", "0", "none"):
        meaning = "oneDNN prints a line for each operation to stdout, into the results of ocrctl"
        return warn("oneDNN", f"ONEDNN_VERBOSE={value('VERBOSE')}", "unset ONEDNN_VERBOSE DNNL_VERBOSE", meaning)
    limit = value("MAX_CPU_ISA").upper()
    if limit in SLOW_ISA:
        meaning = "oneDNN uses no instructions above: training on this CPU is several times slower"
        return warn("oneDNN", f"ONEDNN_MAX_CPU_ISA={limit}", "unset ONEDNN_MAX_CPU_ISA DNNL_MAX_CPU_ISA", meaning)
    wanted = FAST.get(machine.lower())
    if wanted is None or flags is None:
        return skipped("oneDNN", f"the CPU flags of {machine} are not known here")
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16") if flag in flags]
    seen = f"{machine} with {', '.join(wide) or 'none of the vector extensions'}"
    if not wanted <= flags:
        meaning = "oneDNN falls back to reference code: training on this CPU is several times slower"
        fix = "another machine, or the virtual machine's CPU type `host`; --set train.mkldnn=false may be faster"
        return warn("oneDNN", seen, fix, meaning)
    return ok("oneDNN", seen)


def _opencv(probe: EnvironmentProbe, charset: str) -> list[Check]:
    if problem := probe.import_opencv():
        missing = re.search(r"lib(GL|gthread|glib|EGL|X\w*|SM|ICE)\b[\w.+-]*", problem)
        fix = "pip install --force-reinstall opencv-python"
        if missing:
            fix = "pip uninstall opencv-python && pip install opencv-python-headless (or apt-get install libgl1)"
        meaning = "no image can be decoded: every command that reads images fails"
        return [fail("cv2 import", problem, fix, meaning), skipped("fonts", "cv2 cannot be imported")]
    imported = ok(
        "cv2 import", f"cv2 {probe.version('opencv-python') or probe.version('opencv-python-headless') or ''}"
    )
    lacking = probe.undrawable(charset)
    seen = f"{len(charset)} characters of the charset"
    if lacking is None:
        meaning = "previews and overlays cannot be drawn"
        row = fail("fonts", "OpenCV has no Unicode font: it is older than 5", "pip install -U opencv-python", meaning)
    elif lacking:
        meaning = "previews and overlays show these as \\uXXXX; training and accuracy are not affected"
        row = warn("fonts", f"no glyph for {len(lacking)} of {seen}: {' '.join(lacking[:12])}", "inspect texts in JSON",
                   meaning)  # fmt: skip
    else:
        row = ok("fonts", f"glyphs for all {seen}")
    return [imported, row]


def _locale(probe: EnvironmentProbe) -> Check:
    encodings = probe.encodings()
    seen = ", ".join(f"{name} {encoding}" for name, encoding in encodings.items())
    wrong = [name for name, encoding in encodings.items() if encoding.lower().replace("-", "") not in ("utf8", "")]
    if wrong:
        meaning = "labels are printed as ????, and file names with accents cannot be opened"
        return warn("locale", seen, "export LC_ALL=C.UTF-8 PYTHONUTF8=1", meaning)
    return ok("locale", seen)


def _disk(probe: EnvironmentProbe) -> Check:
    rows = []
    fix = "free some space, write runs elsewhere (-o), or export TMPDIR=..."
    for where, free, files in probe.disks():
        seen = f"{where}: {free / 1024**3:.1f} GiB free"
        if files is not None and files < FILES_LOW:
            rows.append(
                fail("disk", f"{where}: {files} files may still be created", fix, "checkpoints cannot be written")
            )
        elif free < DISK_EMPTY:
            rows.append(fail("disk", seen, fix, "a run stops with exit 5 at its first checkpoint"))
        elif free < DISK_LOW:
            rows.append(warn("disk", seen, fix, "a run of a large model stops with exit 5 after a few checkpoints"))
        else:
            rows.append(ok("disk", seen))
    order = ("fail", "warn", "ok")
    worst = min(rows, key=lambda row: order.index(row.status))
    return worst if worst.status != "ok" else ok("disk", "; ".join(dict.fromkeys(row.detail for row in rows)))


def _clock(probe: EnvironmentProbe) -> Check:
    now, installed = probe.now(), probe.installed()
    seen = f"{now:%Y-%m-%d %H:%M} UTC"
    if now + CLOCK_SLACK < installed:
        meaning = "runs sort wrongly, and downloads fail with certificate errors"
        detail = f"{seen}, but files were installed on {installed:%Y-%m-%d}"
        return fail("clock", detail, "set the clock: timedatectl set-ntp true", meaning)
    return ok("clock", seen)


def _container(probe: EnvironmentProbe) -> Check:
    quota, memory, processes = probe.cgroup_cores(), probe.cgroup_memory(), probe.cgroup_processes()
    limits = [f"{quota:g} of {probe.cores()} cores"] if quota is not None else []
    limits += [f"{memory / 1024**3:.1f} GiB of memory"] if memory is not None else []
    limits += [f"{processes} processes and threads"] if processes is not None else []
    seen = "limits: " + (", ".join(limits) or "none")
    workers = min(probe.cores(), 2 if quota is None else max(1, int(quota)))
    need = PROCESS_MEMORY + workers * WORKER_MEMORY
    if memory is not None and memory < need:
        meaning = f"a training with {workers} loader processes needs {need / 1024**3:.1f} GiB before it has a model"
        return warn("container", seen, "docker run --memory=4g, or --set data.workers=0", meaning)
    if processes is not None and processes < PROCESSES_LOW:
        meaning = "loader processes and threads cannot be started: `can't start new thread`"
        return warn("container", seen, "docker run --pids-limit=1024, or --set data.workers=0", meaning)
    if quota is not None and quota < 1:
        meaning = "training and loader processes share less than one core"
        return warn("container", seen, "docker run --cpus=2, and --set data.workers=0", meaning)
    return ok("container", seen)
