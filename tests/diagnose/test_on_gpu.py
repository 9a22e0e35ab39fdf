"""The probes of `diagnose` on a CUDA device: copies, kernels, workspace, NCCL, page-locked batches, ONNX Runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ocrctl.core.diagnose import machine
from ocrctl.core.settings import load_settings
from ocrctl.diagnose.cuda_group import round_trip
from ocrctl.diagnose.cuda_probe import SystemProbe
from ocrctl.diagnose.cuda_step import StepRequest, host_waits, largest_batch

pytestmark = pytest.mark.gpu

SEVERAL = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")


def request(arch: str, *sets: str) -> StepRequest:
    settings = load_settings([], ["page.height=128", "page.width=128", "page.side=128", *sets], {"arch": arch})
    return StepRequest(machine.step_card(settings), settings.train)


def test_copies_and_kernels_have_plausible_rates() -> None:
    pinned, ordinary = SystemProbe().copy_rates(0)
    assert 1e9 < ordinary < 1e12 and 0.8 * ordinary < pinned < 1e12  # bytes per second
    assert 1e-7 < SystemProbe().launch_latency(0) < 1e-3  # seconds


@pytest.mark.parametrize("arch", ["crnn-tiny", "svtrv2-tiny", "parseq-tiny", "true2d-tiny", "dbnet"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_step_with_its_update_waits_for_nothing(arch: str, precision: str) -> None:
    assert host_waits(request(arch, f"train.precision={precision}"), torch.device("cuda", 0)) == []


def test_the_loss_of_pytorch_waits_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_pytorch(logits: Any, labels: Any, lengths: Any, steps: Any = None) -> torch.Tensor:
        whole = torch.full((len(logits),), logits.shape[1])
        return torch.nn.functional.ctc_loss(logits.log_softmax(-1).transpose(0, 1), labels, whole, lengths)

    monkeypatch.setattr("ocrctl.training.objectives.ctc_loss", of_pytorch)
    assert host_waits(request("crnn-tiny", "model.resize=stretch"), torch.device("cuda", 0))


def test_the_workspace_probe_follows_the_memory() -> None:
    found = []
    for share in (0.04, 0.12):
        torch.cuda.set_per_process_memory_fraction(share)
        try:
            found.append(largest_batch(request("dbnet"), torch.device("cuda", 0), 4096))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()
    (little, problem), (more, _) = found
    assert 0 < little < more and problem


def test_nccl_sums_over_every_card() -> None:
    assert 0 < round_trip("nccl", torch.cuda.device_count(), patience=120.0) < 1


@SEVERAL
def test_a_process_that_dies_in_an_nccl_group_is_named() -> None:
    with pytest.raises(RuntimeError, match="ended with code 3"):
        round_trip("nccl", 2, patience=120.0, run=_dies_as_second)


def _dies_as_second(rank: int, world: int, backend: str, store: str, answers: Any) -> None:
    from ocrctl.diagnose.cuda_group import member

    if rank == 1:
        os._exit(3)
    member(rank, world, backend, store, answers)


def test_page_locked_batches_arrive_from_loader_processes(word_folder: Path) -> None:
    """In a process of its own: the rows of the loader fork before CUDA is initialised."""
    words = [
        "diagnose",
        "cuda",
        "--require",
        "--check-loader",
        str(word_folder),
        "--set",
        "data.charset=ascii94",
        "--json",
    ]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-m", "ocrctl", *words], env=environ, capture_output=True, text=True)
    found = {row["name"]: row for row in json.loads(done.stdout)["checks"]}
    assert found["loader pin_memory"]["status"] == "ok" and "page-locked" in found["loader pin_memory"]["detail"]
    assert found["loader fork"]["status"] == "ok"


def test_onnxruntime_runs_on_the_card_or_says_why_not() -> None:
    providers = (SystemProbe().onnxruntime() or pytest.skip("onnxruntime is not installed")).providers
    if "CUDAExecutionProvider" not in providers:
        pytest.skip("this ONNX Runtime has no CUDA provider")
    problem = SystemProbe().provider_problem("CUDAExecutionProvider")
    expected = "CPUExecutionProvider" if problem else "CUDAExecutionProvider"
    assert SystemProbe().onnx_session_provider(0) == expected
