"""Check that gradients reach every parameter, and that predicted sampling offsets stay within the features.

Deformable convolution (Dai et al., 2017, https://arxiv.org/abs/1703.06211) and attention sample at positions that a
layer predicts. Where these offsets are clamped or saturated they receive no gradient and never move.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ocrctl.diagnose.checks import Check, fail, ok, skipped, some, warn
from ocrctl.diagnose.model.subject import Subject
from ocrctl.training.optimizer import build_optimizer, clip

STEPS = 3  # a layer initialised with zeros keeps gradients from those before it in the first step
OFFSETS = "offset"  # in the name of a layer that predicts sampling positions
OUTSIDE = 0.1  # share of offsets beyond the features


@dataclass
class Reached:
    """Parameters by what reached them in STEPS steps: no gradient at all, only zeros, not finite; `frozen` require
    none. `offsets`: share of each layer's predicted offsets that are larger than the features, by its name."""

    total: int = 0
    absent: list[str] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)
    not_finite: list[str] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)
    offsets: dict[str, float] = field(default_factory=dict)


def reach(subject: Subject) -> Reached:
    """Train STEPS steps and collect which parameters a gradient reached."""
    model = subject.build()
    named = dict(model.named_parameters())
    found = Reached(total=len(named), frozen=[name for name, p in named.items() if not p.requires_grad])
    given: set[str] = set()
    moved: set[str] = set()
    handles = [
        module.register_forward_hook(_offsets_hook(name, found.offsets))
        for name, module in model.named_modules()
        if OFFSETS in name.rpartition(".")[2] and not list(module.children())
    ]
    optimizer = build_optimizer(model, subject.train)
    for step in range(STEPS):
        torch.manual_seed(subject.seed + step)
        subject.objective(model, subject.batch).backward()  # type: ignore[no-untyped-call]
        for name, p in named.items():
            if p.grad is not None:
                given.add(name)
                if not bool(torch.isfinite(p.grad).all()) and name not in found.not_finite:
                    found.not_finite.append(name)
                if bool((p.grad != 0).any()):
                    moved.add(name)
        if found.not_finite:
            break
        clip(list(model.parameters()), subject.train.clip_norm, None)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    for handle in handles:
        handle.remove()
    trained = [name for name in named if name not in found.frozen]
    found.absent = [name for name in trained if name not in given]
    found.zero = [name for name in trained if name in given and name not in moved]
    return found


def _offsets_hook(name: str, shares: dict[str, float]) -> Any:
    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim >= 3 and output.is_floating_point():
            size = max(output.shape[-2:]) if output.ndim >= 4 else output.shape[1]
            shares[name] = float((output.detach().abs() > size).float().mean())

    return hook


def check_gradients(subject: Subject, found: Reached) -> list[Check]:
    """Return the rows on gradients and offsets."""
    return [_gradients(subject, found), _offsets(found)]


def _gradients(subject: Subject, found: Reached) -> Check:
    total = found.total
    if found.not_finite:
        fix = "see the rows `loss` and `saturation`: they name the part"
        meaning = "the first step makes every weight NaN"
        return fail("gradient", f"not finite for {some(found.not_finite)}", fix, meaning)
    dead = [name for name in (*found.absent, *found.zero) if OFFSETS not in name]
    chosen = found.frozen if subject.train.freeze not in (None, 0, "") else []
    own = [name for name in found.frozen if name not in chosen]
    if dead:
        parts = []
        if absent := [name for name in found.absent if name in dead]:
            parts.append(f"none reaches {some(absent)} (detached or not used)")
        if zero := [name for name in found.zero if name in dead]:
            parts.append(f"only zeros reach {some(zero)} (saturated or multiplied by 0)")
        fix = f"use {branch(dead)} in the forward pass without detach(), no_grad() or hard clamps, or remove it"
        meaning = f"a frozen branch: {len(dead)} of {total} parameters keep their random values"
        return fail("gradient", f"reaches {total - len(dead)} of {total} parameters; {'; '.join(parts)}", fix, meaning)
    if own:
        fix = "remove requires_grad=False, or say what to freeze with train.freeze"
        meaning = f"a frozen branch: {len(own)} of {total} parameters keep their initial values"
        return warn("gradient", f"requires_grad is False for {some(own)}", fix, meaning)
    note = f", {len(chosen)} frozen by train.freeze" if chosen else ""
    return ok("gradient", f"reaches {total - len(found.frozen)} of {total} parameters{note}")


def _offsets(found: Reached) -> Check:
    dead = [name for name in (*found.absent, *found.zero) if OFFSETS in name]
    if dead:
        return fail(
            "offsets",
            f"no gradient reaches {some(dead)}",
            "bound offsets smoothly (scale * tanh) and start them within the features; do not clamp or detach them",
            "dead offsets: the layer samples at the same positions for ever, as an ordinary convolution does",
        )
    if not found.offsets:
        return skipped("offsets", "the model predicts no sampling offsets")
    worst = max(found.offsets, key=lambda name: found.offsets[name])
    if found.offsets[worst] > OUTSIDE:
        detail = f"{found.offsets[worst]:.0%} of those of {worst} exceed the size of the features"
        meaning = "samples outside the features are zeros without a gradient: training becomes unstable"
        return warn("offsets", detail, "bound them (scale * tanh), initialise the layer with zeros", meaning)
    return ok("offsets", f"{len(found.offsets)} layers, at most {found.offsets[worst]:.0%} exceed the features")


def branch(names: Iterable[str]) -> str:
    """Return the longest module prefix that all parameter names share, or the first name's module."""
    every = [name.split(".")[:-1] for name in names]
    shared: list[str] = []
    for parts in zip(*every, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared or every[0]) or "it"
