"""Each judgement of `diagnose cuda`, on made-up machines; and the whole of it on the real one where there is a GPU."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ocrctl.core.diagnose import machine
from ocrctl.diagnose.checks import Diagnosis
from ocrctl.diagnose.cuda import NO_DRIVER, OPERATIONS, accuracy_check, capability_check, card_checks, diagnose_cuda
from ocrctl.diagnose.cuda_probe import Device, OnnxRuntime, SystemProbe
from ocrctl.diagnose.nvml import Card, Driver, nvml_cards, nvml_driver

CARD = Device(0, "Card", (9, 0), 70 * 1024**3, 80 * 1024**3)
DRIVER = Driver("580.65.06", (13, 0), 1)
SHOWN = Card(0, "Card", True, True, 0, 1500, 1980, (), (("python", 7, 1 << 30),))
GPU_RUNTIME = OnnxRuntime("onnxruntime-gpu", "1.30.0", "13.0", ("CUDAExecutionProvider", "CPUExecutionProvider"))


@dataclass(frozen=True)
class Machine:
    """A probe whose answers are fields; an exception as an answer is raised."""

    nvidia: Driver | None = DRIVER
    torch: object = "2.13.0+cu130"
    cuda: object = "13.0"
    cudnn_version: int | None = 91002
    archs: tuple[str, ...] = ("sm_80", "sm_90", "compute_120")
    devices_found: object = field(default_factory=lambda: [CARD])
    matmul: object = 1e-6
    convolution: object = 1e-5
    told: tuple[Card, ...] = (SHOWN,)
    rates: tuple[float, float] = (25e9, 9e9)
    latency: float = 5e-6
    waits: tuple[str, ...] = ()
    batch: object = (96, "CUDA out of memory")
    seconds: object = 0.001
    provider: str = ""
    ort: OnnxRuntime | None = GPU_RUNTIME
    session: object = "CUDAExecutionProvider"

    def driver(self):
        return self.nvidia

    def torch_version(self):
        return _answer(self.torch)

    def torch_cuda(self):
        return _answer(self.cuda)

    def cudnn(self):
        return self.cudnn_version

    def arch_list(self):
        return list(self.archs)

    def devices(self):
        return _answer(self.devices_found)

    def cards(self):
        return list(self.told)

    def errors(self, index, operation):
        return {"fp32": _answer(self.convolution if operation == "convolution" else self.matmul), "bf16": 5e-3}

    def copy_rates(self, index):
        return self.rates

    def launch_latency(self, index):
        return self.latency

    def host_waits(self, index):
        return list(self.waits)

    def largest_batch(self, index):
        return _answer(self.batch)

    def round_trip(self, backend, world):
        return _answer(self.seconds)

    def provider_problem(self, provider):
        return self.provider if provider == "CUDAExecutionProvider" else ""

    def onnxruntime(self):
        return self.ort

    def onnx_session_provider(self, index):
        return _answer(self.session)


def _answer(value):
    if isinstance(value, Exception):
        raise value
    return value


def status(result: Diagnosis) -> dict[str, str]:
    return {row.name: row.status for row in result.checks}


def test_a_good_machine_is_all_ok():
    result = diagnose_cuda(Machine())
    assert set(status(result).values()) == {"ok"}
    assert result.usable and result.device and not result.failed
    assert all(row.examined for row in result.checks)
    assert not any(row.fix for row in result.checks)


def test_without_a_gpu_nothing_fails_and_it_is_said():
    result = diagnose_cuda(Machine(nvidia=None, torch="2.13.0+cpu", cuda=None, devices_found=[], told=()))
    assert not result.device and not result.usable and not result.failed
    assert "No GPU" in result.summary
    assert {row.detail for row in result.checks if row.status == "skipped"} == {
        NO_DRIVER,
        "torch 2.13.0+cpu is a CPU build",
    }
    done = {row.name for row in result.checks if row.status == "ok"}
    assert done == {"gloo", "host waits", "onnxruntime", "onnxruntime providers"}
    assert status(result)["matmul"] == "skipped"


def test_a_cuda_build_without_a_gpu_does_not_fail_on_mismatched_runtimes():
    old = replace(GPU_RUNTIME, cuda="12.8")
    result = diagnose_cuda(Machine(nvidia=None, devices_found=[], ort=old))
    assert status(result)["onnxruntime CUDA"] == "warn" and not result.failed


@pytest.mark.parametrize(
    ("machine", "row"),
    [
        (Machine(torch="2.13.0+cpu", cuda=None, devices_found=[]), "runtime"),
        (Machine(nvidia=Driver("535.1", (12, 2), 1)), "runtime"),
        (Machine(torch=ImportError("libcudart.so.13: no such file")), "runtime"),
        (Machine(devices_found=[]), "devices"),
        (Machine(devices_found=RuntimeError("CUDA unknown error\nat a place")), "devices"),
        (Machine(cudnn_version=None), "cuDNN"),
        (Machine(archs=("sm_100", "compute_120")), "capability cuda:0"),
        (Machine(matmul=0.5), "matmul cuda:0"),
        (Machine(matmul=float("nan")), "matmul cuda:0"),
        (Machine(convolution=RuntimeError("Unable to find an engine")), "convolution cuda:0"),
        (Machine(told=(replace(SHOWN, errors=3),)), "ECC cuda:0"),
        (Machine(batch=(0, "Unable to find an engine")), "workspace cuda:0"),
        (Machine(waits=("_local_scalar_dense",) * 2), "host waits"),
        (Machine(seconds=RuntimeError("no answer in 20 s")), "gloo"),
        (Machine(seconds=RuntimeError("no answer in 20 s")), "NCCL"),
        (Machine(provider="libcudnn.so.9: cannot open shared object file"), "onnxruntime providers"),
        (Machine(ort=None), "onnxruntime"),
        (Machine(ort=replace(GPU_RUNTIME, cuda="12.8")), "onnxruntime CUDA"),
        (Machine(ort=replace(GPU_RUNTIME, providers=("CPUExecutionProvider",))), "onnxruntime session"),
        (Machine(session="CPUExecutionProvider"), "onnxruntime session"),
        (Machine(session=RuntimeError("libcublas.so.13")), "onnxruntime session"),
    ],
)
def test_what_is_broken_fails_with_a_mend(machine: Machine, row: str):
    result = diagnose_cuda(machine)
    assert result.device
    failed = {check.name: check for check in result.failed}
    assert row in failed, status(result)
    assert failed[row].fix and failed[row].meaning and "\n" not in failed[row].fix + failed[row].detail
    assert all(check.examined for check in result.checks)


def test_one_good_card_of_two_is_usable_and_still_reported():
    bad = Device(1, "Old card", (3, 5), 4 * 1024**3, 8 * 1024**3)
    result = diagnose_cuda(Machine(devices_found=[CARD, bad]))
    assert result.usable
    assert [row.name for row in result.failed] == ["capability cuda:1"]


def test_little_memory_and_old_cudnn_warn():
    full = replace(CARD, memory_free=1024**3)
    result = diagnose_cuda(Machine(devices_found=[full], cudnn_version=8902))
    assert status(result)["memory cuda:0"] == status(result)["cuDNN"] == "warn"
    assert result.usable and not result.failed


@pytest.mark.parametrize(
    ("capability", "archs", "expected"),
    [
        ((9, 0), ["sm_90"], "ok"),
        ((8, 6), ["sm_80", "sm_90"], "ok"),  # code for 8.0 runs on 8.6
        ((8, 0), ["sm_86"], "fail"),  # never the other way round
        ((12, 0), ["sm_120a"], "ok"),
        ((12, 0), ["sm_90", "compute_90"], "warn"),
        ((7, 0), ["sm_75", "sm_80", "compute_80"], "fail"),
        ((9, 0), [], "fail"),
    ],
)
def test_capability_against_compiled_list(capability, archs, expected):
    assert capability_check("c", replace(CARD, capability=capability), archs).status == expected


def test_system_probe_answers_without_a_gpu():
    probe = SystemProbe()
    assert probe.torch_version()
    runtime = probe.onnxruntime()
    assert runtime is not None and "CPUExecutionProvider" in runtime.providers


def test_cards_that_are_slowed_down_or_not_persistent_warn():
    rows = {row.name: row for row in card_checks(replace(SHOWN, persistence=False, slowed=("power brake",)))}
    assert rows["persistence cuda:0"].status == rows["clocks cuda:0"].status == "warn"
    assert "power brake" in rows["clocks cuda:0"].detail and "python (7) 1.0 GiB" in rows["processes cuda:0"].detail
    silent = {row.name: row for row in card_checks(Card(1, "Card", None, None, None, None, None, (), ()))}
    assert {row.status for name, row in silent.items() if "processes" not in name} == {"skipped"}


@pytest.mark.parametrize(("machine_rates", "row"), [({"rates": (1e9, 1e9)}, "copy"), ({"latency": 1e-3}, "launch"),
                                                    ({"seconds": 2.0}, "gloo")])  # fmt: skip
def test_slow_copies_launches_and_groups_warn(machine_rates: dict[str, Any], row: str) -> None:
    found = {check.name.partition(" cuda")[0]: check for check in diagnose_cuda(Machine(**machine_rates)).checks}
    assert found[row].status == "warn" and found[row].meaning


def test_each_precision_has_a_tolerance_of_its_own():
    assert accuracy_check("matmul", {"fp32": 1e-6, "tf32": 5e-4, "fp16": 1e-3, "bf16": 1e-2}).status == "ok"
    found = accuracy_check("matmul", {"fp32": 1e-3, "bf16": float("nan")})
    assert found.status == "fail" and "fp32, bf16" in found.meaning


class Library:
    """NVML of a card with three uncorrected errors, slowed down, and one process."""

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            answers = {
                "nvmlSystemGetCudaDriverVersion_v2": 13010, "nvmlDeviceGetCount_v2": 1,
                "nvmlDeviceGetPersistenceMode": 0, "nvmlDeviceGetTotalEccErrors": 3, "nvmlDeviceGetClockInfo": 210,
                "nvmlDeviceGetMaxClockInfo": 1980, "nvmlDeviceGetCurrentClocksThrottleReasons": 0x48,
            }  # fmt: skip
            if name == "nvmlDeviceGetComputeRunningProcesses_v3":
                arguments[1]._obj.value = 1
                arguments[2][0].pid, arguments[2][0].used = os.getpid(), 5 << 30
            elif name == "nvmlDeviceGetEccMode":
                arguments[1]._obj.value = 1
            elif name in answers:
                arguments[-1]._obj.value = answers[name]
            elif name == "nvmlDeviceGetName":
                arguments[1].value = b"A card"
            elif name == "nvmlSystemGetDriverVersion":
                arguments[0].value = b"580.1"
            return 0

        return call


def test_nvml_is_read():
    assert nvml_driver(Library()) == Driver("580.1", (13, 1), 1)
    [card] = nvml_cards(Library())
    assert (card.name, card.persistence, card.ecc, card.errors) == ("A card", False, True, 3)
    assert (card.clock, card.clock_limit) == (210, 1980)
    assert card.slowed == ("hardware slowdown", "temperature (hardware)")
    assert card.processes[0][1:] == (os.getpid(), 5 << 30)
    assert ctypes.sizeof(ctypes.c_ulonglong) == 8


@pytest.mark.parametrize("operation", OPERATIONS)
def test_arithmetic_of_the_cpu_is_within_the_tolerances(operation: str) -> None:
    import torch

    from ocrctl.diagnose.cuda_math import errors

    found = errors(torch.device("cpu"), operation)
    assert list(found) == ["fp32", "fp16", "bf16"] and accuracy_check(operation, found).status == "ok"
    assert found["bf16"] > 1e-4 and found["fp32"] < found["fp16"] < found["bf16"]


def test_without_a_gpu_the_compiler_of_pytorch_is_not_imported() -> None:
    """torch._dynamo and sympy take as long as all the checks together (benchmarks/diagnose_speed.py)."""
    code = (
        "import sys; from ocrctl.core.diagnose import machine; found = machine.diagnose_cuda();"
        "print([row.status for row in found.checks if row.name == 'host waits'],"
        "sorted({'torch._dynamo', 'sympy', 'lightning', 'cv2'} & set(sys.modules)))"
    )
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ok'] []"


def test_a_training_step_does_not_wait_for_the_device_and_one_that_does_is_counted(monkeypatch) -> None:
    from ocrctl.core.settings import load_settings
    from ocrctl.diagnose import cuda_step
    from ocrctl.training import trial

    settings = load_settings([], ["train.device=cpu"], {"arch": "crnn-tiny"})
    request = cuda_step.StepRequest(machine.step_card(settings), settings.train)
    import torch

    assert cuda_step.host_waits(request, torch.device("cpu")) == []
    original = trial.choose_objective

    def waiting(card, train):
        objective = original(card, train)

        def loss(model, batch):
            value = objective(model, batch)
            return value * float(value.item() > -1)

        return loss

    monkeypatch.setattr(trial, "choose_objective", waiting)
    assert cuda_step.host_waits(request, torch.device("cpu")) == ["_local_scalar_dense"]

    def scarce(self, batch):
        if len(batch["images"]) > 5:
            raise RuntimeError("GET was unable to find an engine to execute this computation")

    monkeypatch.setattr(trial.TrialStep, "run", scarce)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    batch, problem = cuda_step.largest_batch(request, torch.device("cpu"))
    assert batch == 5 and "unable to find an engine" in problem


def dies(rank: int, world: int, backend: str, store: str, answers: Any) -> None:
    os._exit(3)


def hangs(rank: int, world: int, backend: str, store: str, answers: Any) -> None:
    time.sleep(60)


def wrong(rank: int, world: int, backend: str, store: str, answers: Any) -> None:
    answers.put((rank, "RuntimeError: the sum over the group is 2, expected 3"))


@pytest.mark.posix
def test_two_processes_sum_a_tensor_and_a_broken_group_is_named() -> None:
    from ocrctl.diagnose.cuda_group import round_trip

    assert 0 < round_trip("gloo", 2) < 20
    for member, said in ((dies, "ended with code 3"), (hangs, "no answer in 1 s"), (wrong, "expected 3")):
        with pytest.raises(RuntimeError, match=said):
            round_trip("gloo", 2, patience=1.0, run=member)


def test_a_provider_whose_library_does_not_load_says_why(tmp_path: Path, monkeypatch) -> None:
    import onnxruntime

    assert SystemProbe().provider_problem("CPUExecutionProvider") == ""
    (tmp_path / "capi").mkdir()
    monkeypatch.setattr(onnxruntime, "__file__", str(tmp_path / "__init__.py"))
    assert "is not installed" in SystemProbe().provider_problem("CUDAExecutionProvider")
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"no library")
    assert "libonnxruntime_providers_shared.so" in SystemProbe().provider_problem("CUDAExecutionProvider")


@pytest.mark.gpu
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_real_device_computes_as_the_cpu_does(operation: str) -> None:
    probe = SystemProbe()
    found = probe.errors(0, operation)
    assert list(found) == ["fp32", "tf32", "fp16", "bf16"] and accuracy_check(operation, found).status == "ok"


@pytest.mark.gpu
def test_a_real_machine_is_usable() -> None:
    found = machine.diagnose_cuda()
    assert found.usable and found.device and not found.failed
    shown = {row.name.partition(" cuda:")[0]: row for row in found.checks}
    assert shown["capability"].status in {"ok", "warn"} and shown["NCCL"].status in {"ok", "warn"}
    assert "GB/s page-locked" in shown["copy"].detail and "us for each kernel" in shown["launch"].detail
    assert shown["host waits"].detail == "none in a training step" and "largest batch" in shown["workspace"].detail
    [card, *_] = SystemProbe().cards()
    assert card.clock and any(pid == os.getpid() for _, pid, _ in card.processes)


@pytest.mark.gpu
def test_a_batch_that_is_too_large_for_a_real_device_is_found() -> None:
    import torch

    from ocrctl.core.settings import load_settings
    from ocrctl.diagnose.cuda_step import StepRequest, largest_batch

    settings = load_settings([], ["train.batch_size=2"], {"arch": "dbnet"})
    torch.cuda.set_per_process_memory_fraction(0.05)
    try:
        batch, problem = largest_batch(
            StepRequest(machine.step_card(settings), settings.train), torch.device("cuda", 0), 1024
        )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 0 < batch < 1024 and problem
