"""What all three losses over maps must hold: finite under every precision, and no waiting for the device."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import Tensor, nn

from ocrctl.models.craft.loss import craft_loss
from ocrctl.models.craft.model import CRAFTHead
from ocrctl.models.dbnet.loss import db_loss
from ocrctl.models.dbnet.model import DBHead
from ocrctl.models.pan import loss as pan
from ocrctl.models.pan.loss import pan_loss
from ocrctl.models.pan.model import PANHead

SIDES, PAGES = {"db": 32, "pan": 64, "craft": 16}, 2  # pixels of a page: small, for speed
LOSSES = {"db": db_loss, "pan": pan_loss, "craft": craft_loss}
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def small_model(kind: str) -> nn.Sequential:
    """A trunk of two convolutions under the real head."""
    stride, head = {"db": (4, DBHead(16)), "pan": (4, PANHead(16, 8)), "craft": (2, CRAFTHead(16))}[kind]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), head
    )


def pictures(step: int, side: int, generator: torch.Generator) -> Tensor:
    """Noise, all 0, all 1 and single spikes in turn."""
    shape = (PAGES, 3, side, side)
    if step % 4 == 1:
        return torch.zeros(shape)
    if step % 4 == 2:
        return torch.ones(shape)
    noise = torch.rand(shape, generator=generator)
    return noise if step % 4 == 0 else 1e4 * (noise > 0.999)


@pytest.mark.parametrize(
    "precision", [pytest.param(one, marks=() if one == "float32" else pytest.mark.slow) for one in PRECISIONS]
)
@pytest.mark.parametrize("kind", LOSSES)
def test_200_steps_on_noise_saturation_and_blank_pages_stay_finite(
    kind: str, precision: str, page_targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pan, "MOST_INSTANCES", 64)  # for speed
    monkeypatch.setattr(pan, "MOST_PAIRED", 16)
    torch.manual_seed(0)
    model, generator = small_model(kind), torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "float16")
    dtype = PRECISIONS[precision]
    written, blank = page_targets(kind, PAGES, SIDES[kind]), page_targets(kind, PAGES, SIDES[kind], text=False)
    for step in range(200):
        scope = torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext()
        with scope:
            outputs = model(pictures(step, SIDES[kind], generator))
            loss = LOSSES[kind](outputs, blank if step % 3 == 2 else written)
        assert loss.dtype == torch.float32 and torch.isfinite(loss), f"step {step}: {loss}"
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
    assert all(torch.isfinite(p).all() for p in model.parameters())


def maps(kind: str, value: float) -> dict[str, Tensor]:
    """Outputs that hold one number everywhere, and their negative in a corner."""
    size = SIDES[kind] // {"db": 1, "pan": 4, "craft": 2}[kind]
    values = torch.full((PAGES, size, size), value)
    values[:, : size // 2] *= -1
    names = {"db": ("probability",), "pan": ("text", "kernel"), "craft": ("region", "affinity")}[kind]
    outputs = {name: values.clone().requires_grad_() for name in names}
    if kind == "db":
        outputs["threshold"] = values.clamp(0, 1).requires_grad_()
    if kind == "pan":
        outputs["embedding"] = values[:, None].repeat(1, 4, 1, 1).requires_grad_()
    return outputs


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("value", [0.0, 1.0, 6e4, 1e30, float("inf")])
@pytest.mark.parametrize("kind", LOSSES)
def test_saturated_outputs_have_finite_losses_and_gradients(kind: str, value: float, text: bool, page_targets) -> None:
    outputs = maps(kind, value)
    loss = LOSSES[kind](outputs, page_targets(kind, PAGES, SIDES[kind], text=text))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(leaf.grad is None or torch.isfinite(leaf.grad).all() for leaf in outputs.values())


@pytest.mark.parametrize("kind", LOSSES)
def test_nan_is_not_hidden(kind: str, page_targets) -> None:
    outputs = {name: leaf.detach() * float("nan") for name, leaf in maps(kind, 1.0).items()}
    assert LOSSES[kind](outputs, page_targets(kind, PAGES, SIDES[kind])).isnan()


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("kind", LOSSES)
def test_a_step_waits_for_nothing(kind: str, text: bool, page_targets, no_host_sync) -> None:
    model, targets = small_model(kind), page_targets(kind, PAGES, SIDES[kind], text=text)
    with no_host_sync():
        loss = LOSSES[kind](model(torch.rand(PAGES, 3, SIDES[kind], SIDES[kind])), targets)
        loss.backward()
    assert torch.isfinite(loss)


def test_the_check_for_waiting_sees_one(no_host_sync) -> None:
    for wait in (lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: x.nonzero(), lambda x: bool((x > 0).any())):
        with pytest.raises(AssertionError), no_host_sync():
            wait(torch.ones(3))
