"""Each judgement of `diagnose environment`, on made-up machines."""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from ocrctl.diagnose.environment import diagnose_environment
from ocrctl.diagnose.environment_probe import SystemEnvironment

GOOD = {"torch": "2.13.0+cpu", "onnxruntime-gpu": "1.30.0", "opencv-python": "5.0.0"}


@dataclass(frozen=True)
class Machine:
    packages: dict = field(default_factory=lambda: dict(GOOD))
    needs: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    core_count: int = 8
    quota: float | None = None
    threads: object = 8
    shm: tuple | None = (8 << 30, 8 << 30)
    files: int | None = 65536
    memory: int | None = None
    processes: int | None = None
    openmp: list = field(default_factory=lambda: ["torch/lib/libgomp.so.1"])
    flags: frozenset | None = frozenset({"avx2", "avx512f"})
    cv2_error: str = ""
    lacking: list | None = field(default_factory=list)
    encoding: str = "utf-8"
    free: tuple = (50 << 30, 1_000_000)
    today: datetime.datetime = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)

    def python(self):
        return "CPython"

    def version(self, package):
        return self.packages.get(package)

    def requires(self, package):
        return self.needs.get(package, [])

    def variables(self):
        return self.env

    def cores(self):
        return self.core_count

    def cgroup_cores(self):
        return self.quota

    def cgroup_memory(self):
        return self.memory

    def cgroup_processes(self):
        return self.processes

    def torch_threads(self):
        return self.threads

    def openmp_libraries(self):
        return self.openmp

    def machine(self):
        return "x86_64"

    def cpu_flags(self):
        return self.flags

    def import_opencv(self):
        return self.cv2_error

    def undrawable(self, charset):
        return self.lacking

    def encodings(self):
        return {"stdout": self.encoding, "file names": "utf-8"}

    def disks(self):
        return [("/data", *self.free)]

    def now(self):
        return self.today

    def installed(self):
        return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    def shared_memory(self):
        return self.shm

    def open_files(self):
        return self.files


def row(machine: Machine, name: str):
    check = next(check for check in diagnose_environment(machine).checks if check.name == name)
    assert check.examined and (check.status in ("ok", "skipped") or (check.meaning and check.fix))
    return check


def test_a_good_machine_is_all_ok():
    assert {check.status for check in diagnose_environment(Machine()).checks} == {"ok"}


def test_thread_limit_below_torchs_threads_fails_because_backward_hangs():
    check = row(Machine(env={"OMP_THREAD_LIMIT": "2"}), "threads")
    assert check.status == "fail" and "OMP_NUM_THREADS=2" in check.fix
    assert row(Machine(env={"OMP_THREAD_LIMIT": "8"}), "threads").status == "ok"


def test_a_process_with_such_a_limit_is_told_so():
    import subprocess
    import sys

    command = [sys.executable, "-m", "ocrctl", "diagnose", "environment", "--json"]
    env = {**os.environ, "OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    found = {row["name"]: row for row in json.loads(done.stdout)["checks"]}["threads"]
    assert done.returncode == 1 and found["status"] == "fail" and "OMP_THREAD_LIMIT=1" in found["detail"]


def test_more_threads_than_the_containers_quota_warns():
    check = row(Machine(quota=1.5), "threads")
    assert check.status == "warn" and check.fix == "export OMP_NUM_THREADS=1"


def test_torchvision_for_another_torch_fails():
    packages = {**GOOD, "torchvision": "0.22.0"}
    assert row(Machine(packages, {"torchvision": ["numpy", "torch==2.7.0"]}), "torchvision").status == "fail"
    assert row(Machine(packages, {"torchvision": ["torch==2.13.0"]}), "torchvision").status == "ok"
    mixed = {**GOOD, "torchvision": "0.28.0+cu130"}
    assert row(Machine(mixed, {"torchvision": ["torch==2.13.0"]}), "torchvision").status == "fail"


def test_two_packages_in_one_folder_fail():
    both = Machine({**GOOD, "onnxruntime": "1.30.0", "opencv-contrib-python": "5.0.0"})
    assert row(both, "onnxruntime").status == row(both, "cv2").status == "fail"


def test_two_opencv_packages_are_harmless_in_one_version_and_fail_in_two():
    same = row(Machine({**GOOD, "opencv-python-headless": "5.0.0"}), "cv2")
    assert same.status == "ok" and "both 5.0.0: harmless" in same.detail
    other = row(Machine({**GOOD, "opencv-python-headless": "4.12.0"}), "cv2")
    assert other.status == "fail" and "opencv-python 5.0.0 and opencv-python-headless 4.12.0" in other.detail
    assert other.fix.endswith("opencv-python==5.0.0 opencv-python-headless==5.0.0")


def test_small_shared_memory_and_few_files_warn():
    small = replace(Machine(), shm=(60 << 20, 64 << 20), files=256)
    assert row(small, "shared memory").status == row(small, "open files").status == "warn"
    assert row(replace(small, shm=None), "shared memory").status == "skipped"


def test_two_openmp_runtimes_fail(tmp_path: Path):
    for library in ("torch/lib/libgomp-98b21ff3.so.1", "plain/lib/libcomponent.so"):
        (tmp_path / library).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / library).touch()
    one = SystemEnvironment(packages=[str(tmp_path)]).openmp_libraries()
    assert one == ["torch/lib/libgomp-98b21ff3.so.1"] and row(Machine(openmp=one), "OpenMP").status == "ok"
    (tmp_path / "fast.libs").mkdir()
    (tmp_path / "fast.libs" / "libiomp5.so").touch()
    two = row(Machine(openmp=SystemEnvironment(packages=[str(tmp_path)]).openmp_libraries()), "OpenMP")
    assert two.status == "fail" and "fast.libs/libiomp5.so" in two.detail and "Error #15" in two.meaning
    assert row(Machine(env={"KMP_DUPLICATE_LIB_OK": "TRUE"}), "OpenMP").status == "warn"


def test_onednn_that_is_limited_prints_or_lacks_instructions_warns():
    assert row(Machine(env={"ONEDNN_MAX_CPU_ISA": "sse41"}), "oneDNN").status == "warn"
    assert row(Machine(env={"DNNL_VERBOSE": "1"}), "oneDNN").status == "warn"
    old = row(Machine(flags=frozenset({"sse4_2"})), "oneDNN")
    assert old.status == "warn" and "CPU type" in old.fix
    assert row(Machine(flags=None), "oneDNN").status == "skipped"


def test_opencv_without_libgl_names_the_headless_package():
    found = row(Machine(cv2_error="libGL.so.1: cannot open shared object file"), "cv2 import")
    assert found.status == "fail" and "opencv-python-headless" in found.fix
    assert row(Machine(cv2_error="libGL.so.1: cannot"), "fonts").status == "skipped"


def test_characters_without_a_glyph_and_output_that_is_not_utf8_warn():
    found = row(Machine(lacking=["\U0001f600"]), "fonts")
    assert found.status == "warn" and "\U0001f600" in found.detail
    assert row(Machine(lacking=None), "fonts").status == "fail"
    assert row(Machine(encoding="ANSI_X3.4-1968"), "locale").status == "warn"


def test_full_disks_a_wrong_clock_and_a_small_container():
    assert row(Machine(free=(1 << 30, None)), "disk").status == "warn"
    assert row(Machine(free=(1 << 20, None)), "disk").status == row(Machine(free=(9 << 30, 3)), "disk").status == "fail"
    before = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert row(Machine(today=before), "clock").status == "fail"
    assert row(Machine(memory=512 << 20), "container").status == "warn"
    assert row(Machine(processes=50), "container").status == "warn"
    assert row(Machine(quota=0.5), "container").status == "warn"
    assert "4 of 8 cores" in row(Machine(quota=4.0), "container").detail


def test_this_system_is_diagnosed_without_torch():
    import subprocess
    import sys

    code = "import sys; sys.modules['torch'] = None; from ocrctl.cli.app import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "diagnose", "environment", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1) and '"clock"' in done.stdout, done.stderr


def test_cgroup_limits_are_read(tmp_path: Path):
    probe = SystemEnvironment(cgroup=tmp_path, shm=tmp_path)
    assert probe.cgroup_cores() is None and probe.cgroup_memory() is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("1073741824\n")
    assert probe.cgroup_cores() == 1.5 and probe.cgroup_memory() == 1 << 30
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert probe.cgroup_cores() is None and probe.cgroup_memory() is None
    assert probe.shared_memory() is not None


def test_cgroup_v1_is_read(tmp_path: Path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("200000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert SystemEnvironment(cgroup=tmp_path).cgroup_cores() == 2.0
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert SystemEnvironment(cgroup=tmp_path).cgroup_cores() is None
