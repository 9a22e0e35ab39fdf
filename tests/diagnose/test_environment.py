"""Each judgement of `diagnose environment`, on made-up machines."""

from __future__ import annotations

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
        return None

    def torch_threads(self):
        if isinstance(self.threads, Exception):
            raise self.threads
        return self.threads

    def shared_memory(self):
        return self.shm

    def open_files(self):
        return self.files


def row(machine: Machine, name: str):
    return next(check for check in diagnose_environment(machine).checks if check.name == name)


def test_a_good_machine_is_all_ok():
    assert {check.status for check in diagnose_environment(Machine()).checks} == {"ok"}


def test_thread_limit_below_torchs_threads_fails_because_backward_hangs():
    check = row(Machine(env={"OMP_THREAD_LIMIT": "2"}), "threads")
    assert check.status == "fail" and "OMP_NUM_THREADS=2" in check.fix
    assert row(Machine(env={"OMP_THREAD_LIMIT": "8"}), "threads").status == "ok"


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


def test_torch_that_cannot_be_imported_is_a_row():
    check = row(Machine(threads=ImportError("libtorch.so")), "threads")
    assert check.status == "fail" and "libtorch.so" in check.detail


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
