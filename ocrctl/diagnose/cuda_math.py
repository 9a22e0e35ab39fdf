"""Compute with a device in each precision and compare with float64 on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import conv2d, scaled_dot_product_attention

OPERATIONS = ("matmul", "convolution", "attention")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def errors(device: torch.device, operation: str) -> dict[str, float]:
    """Return the largest difference of `operation` from float64 on the CPU, relative to the largest value, by
    precision; tf32 on CUDA only.

    matmul: 256x256. convolution: the first of a recogniser, 3x3, 64 channels, four 32x128 images. attention: two images
    of 128 positions in four heads of 32.
    """
    inputs, compute = _prepared(operation)
    expected = compute(*(one.double() for one in inputs))
    found = {}
    for precision in PRECISIONS:
        if precision == "tf32" and device.type != "cuda":
            continue
        with _tf32(precision == "tf32"):
            result = compute(*(one.to(device, _DTYPES[precision]) for one in inputs))
        found[precision] = float((result.cpu().double() - expected).abs().max() / expected.abs().max())
    return found


def _prepared(operation: str) -> tuple[list[Tensor], Callable[..., Tensor]]:
    generator = torch.Generator().manual_seed(0)
    if operation == "matmul":
        return list(torch.randn(2, 256, 256, generator=generator).unbind()), torch.matmul
    if operation == "convolution":
        images = torch.randn(4, 3, 32, 128, generator=generator)
        kernel = torch.randn(64, 3, 3, 3, generator=generator)
        return [images, kernel], lambda images, kernel: conv2d(images, kernel, padding=1)
    return list(torch.randn(3, 2, 4, 128, 32, generator=generator).unbind()), scaled_dot_product_attention


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32, whose mantissa has 10 bits, in matrix products and convolutions inside."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def copy_rate(device: torch.device, pinned: bool, megabytes: int = 64, rounds: int = 5) -> float:
    """Return the bytes per second of copies from the host to a CUDA device, from page-locked memory or not."""
    host = torch.empty(megabytes << 20, dtype=torch.uint8, pin_memory=pinned)
    on_device = torch.empty_like(host, device=device)
    on_device.copy_(host, non_blocking=pinned)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start.record()
    for _ in range(rounds):
        on_device.copy_(host, non_blocking=pinned)
    end.record()
    torch.cuda.synchronize(device)
    return rounds * host.nbytes / (start.elapsed_time(end) / 1000)


def launch_latency(device: torch.device, launches: int = 1000) -> float:
    """Return the seconds that the host takes to start one small kernel of a CUDA device."""
    one = torch.zeros(1, device=device)
    for _ in range(launches // 10):
        one.add_(1)
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(launches):
        one.add_(1)
    seconds = time.perf_counter() - start
    torch.cuda.synchronize(device)
    return seconds / launches
