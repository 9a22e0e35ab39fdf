"""Each judgement of `diagnose cuda`, on made-up machines; and the whole of it on the real one where there is a GPU."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from ocrctl.diagnose.checks import Diagnosis
from ocrctl.diagnose.cuda import TOLERANCE, capability_check, diagnose_cuda
from ocrctl.diagnose.cuda_probe import Device, Driver, OnnxRuntime, SystemProbe

CARD = Device(0, "Card", (9, 0), 70 * 1024**3, 80 * 1024**3)
DRIVER = Driver("580.65.06", (13, 0), 1)
GPU_RUNTIME = OnnxRuntime("onnxruntime-gpu", "1.30.0", "13.0", ("CUDAExecutionProvider", "CPUExecutionProvider"))


@dataclass(frozen=True)
class Machine:
    """A probe whose answers are fields; an exception as an answer is raised."""

    nvidia: Driver | None = DRIVER
    torch: object = "2.13.0+cu130"
    cuda: object = "13.0"
    cudnn_version: int | None = 91002
    archs: tuple[str, ...] = ("sm_80", "sm_90", "compute_120")
    cards: object = field(default_factory=lambda: [CARD])
    matmul: object = 1e-6
    convolution: object = 1e-4
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
        return _answer(self.cards)

    def matmul_error(self, index):
        return _answer(self.matmul)

    def convolution_error(self, index):
        return _answer(self.convolution)

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
    assert not any(row.fix for row in result.checks)


def test_without_a_gpu_nothing_fails_and_it_is_said():
    result = diagnose_cuda(Machine(nvidia=None, torch="2.13.0+cpu", cuda=None, cards=[]))
    assert not result.device and not result.usable and not result.failed
    assert "No GPU" in result.summary
    assert status(result)["matmul"] == "skipped"


def test_a_cuda_build_without_a_gpu_does_not_fail_on_mismatched_runtimes():
    old = replace(GPU_RUNTIME, cuda="12.8")
    result = diagnose_cuda(Machine(nvidia=None, cards=[], ort=old))
    assert status(result)["onnxruntime CUDA"] == "warn" and not result.failed


@pytest.mark.parametrize(
    ("machine", "row"),
    [
        (Machine(torch="2.13.0+cpu", cuda=None, cards=[]), "runtime"),
        (Machine(nvidia=Driver("535.1", (12, 2), 1)), "runtime"),
        (Machine(torch=ImportError("libcudart.so.13: no such file")), "runtime"),
        (Machine(cards=[]), "devices"),
        (Machine(cards=RuntimeError("CUDA unknown error\nat a place")), "devices"),
        (Machine(cudnn_version=None), "cuDNN"),
        (Machine(archs=("sm_100", "compute_120")), "capability cuda:0"),
        (Machine(matmul=0.5), "matmul cuda:0"),
        (Machine(matmul=float("nan")), "matmul cuda:0"),
        (Machine(convolution=RuntimeError("Unable to find an engine")), "convolution cuda:0"),
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
    assert failed[row].fix and "\n" not in failed[row].fix + failed[row].detail


def test_one_good_card_of_two_is_usable_and_still_reported():
    bad = Device(1, "Old card", (3, 5), 4 * 1024**3, 8 * 1024**3)
    result = diagnose_cuda(Machine(cards=[CARD, bad]))
    assert result.usable
    assert [row.name for row in result.failed] == ["capability cuda:1"]


def test_little_memory_and_old_cudnn_warn():
    full = replace(CARD, memory_free=1024**3)
    result = diagnose_cuda(Machine(cards=[full], cudnn_version=8902))
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


@pytest.mark.gpu
def test_real_device_computes_as_the_cpu_does():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    probe = SystemProbe()
    assert probe.driver() is not None
    assert probe.matmul_error(0) < TOLERANCE
    assert probe.convolution_error(0) < TOLERANCE
    assert status(diagnose_cuda(probe))["capability cuda:0"] in {"ok", "warn"}
