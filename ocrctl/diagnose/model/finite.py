"""Check that loss and gradients stay finite: under each precision, on saturated values, on the batches of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ocrctl.diagnose.checks import Check, fail, first_line, ok, skipped, some
from ocrctl.diagnose.model.subject import Subject
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.device import DTYPES
from ocrctl.training.nonfinite_samples import find_nonfinite_samples

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SCALES = (30.0, 1e3, 1e5)  # of the decoder's states: exp() overflows in float32 above 88
FLAT = {"black": 0, "white": 255}


def check_finite(subject: Subject) -> list[Check]:
    """Return the rows `loss PRECISION`, `saturation` and `batches`."""
    rows = [_precision(subject, precision) for precision in PRECISIONS]
    if rows[0].status == "fail":
        saturation = skipped("saturation", "the loss of this batch is not finite to begin with")
    else:
        saturation = _saturation(subject)
    return [*rows, saturation, _batches(subject)]


def _precision(subject: Subject, precision: str) -> Check:
    name = f"loss {precision}"
    dtype = DTYPES.get(precision)
    model = subject.build()
    torch.manual_seed(subject.seed)
    try:
        with torch.autocast(subject.device.type, dtype, enabled=dtype is not None):
            loss = subject.objective(model, subject.batch)
        loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        if "not implemented for" not in str(error) or precision == "32-true":
            raise
        return skipped(name, f"this device does not compute it: {first_line(error)}")
    own = precision == subject_precision(subject)
    if problem := _problem(model, loss):
        fix = "--set train.precision=32-true, or compute that part in float32"
        if precision == "32-true":
            fix = "compare with the row `saturation`; lower the weights' initial scale, add an epsilon to divisions"
        return fail(name, problem, fix, "the first training step is not finite, and a run stops there")
    return ok(name, f"{float(loss.detach()):.4g}, finite with all gradients{', as this run trains' if own else ''}")


def subject_precision(subject: Subject) -> str:
    """Return the precision that training with the settings uses on this device."""
    from ocrctl.training.device import resolve_accelerator

    return resolve_accelerator(subject.train).precision


def _problem(model: OCRModel, loss: Tensor) -> str:
    """Return which of loss and gradients is not finite, "" if none."""
    if not bool(torch.isfinite(loss)):
        return f"the loss is {float(loss.detach()):g}"
    bad = [n for n, p in model.named_parameters() if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
    return f"the loss is {float(loss.detach()):.4g}, but the gradient of {some(bad)} is not finite" if bad else ""


@contextmanager
def _scaled_states(module: nn.Module, scale: float) -> Iterator[None]:
    """Multiply the floating-point outputs of `module` by `scale` inside."""

    def grow(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value * scale if value.is_floating_point() else value
        if isinstance(value, dict):
            return {name: grow(inner) for name, inner in value.items()}
        return type(value)(map(grow, value)) if isinstance(value, list | tuple) else value

    handle = module.register_forward_hook(lambda _module, _inputs, output: grow(output))
    try:
        yield
    finally:
        handle.remove()


def _saturation(subject: Subject) -> Check:
    """Loss and gradients where the decoder's states are far too large, and on flat images."""
    cases: dict[str, Callable[[OCRModel], Tensor]] = {}
    for colour, value in FLAT.items():
        flat = {**subject.batch, "images": torch.full_like(subject.batch["images"], value)}
        cases[f"{colour} images"] = lambda model, flat=flat: subject.objective(model, flat)  # type: ignore[misc]
    for scale in SCALES:

        def grown(model: OCRModel, scale: float = scale) -> Tensor:
            with _scaled_states(model.decoder, scale):
                return subject.objective(model, subject.batch)

        cases[f"states x {scale:g}"] = grown
    for case, loss_of in cases.items():
        model = subject.build()
        torch.manual_seed(subject.seed)
        loss = loss_of(model)
        loss.backward()  # type: ignore[no-untyped-call]
        if problem := _problem(model, loss):
            return fail(
                "saturation",
                f"with {case} {problem}",
                "torch.sigmoid(k * x) in float32, not 1 / (1 + exp(-k * x)); log_softmax and the `_with_logits` losses",
                "an exponential or a division overflows once the model is confident: NaN after hours of training",
            )
    return ok("saturation", f"loss and gradients are finite with {', '.join(cases)}")


def _batches(subject: Subject) -> Check:
    """Loss and gradients of the first batches of the data, and the samples to blame."""
    model = subject.build()
    total = 0
    for batch in (subject.batch, *subject.more):
        torch.manual_seed(subject.seed)
        model.zero_grad(set_to_none=True)
        loss = subject.objective(model, batch)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        total += len(batch["images"])
        if not (problem := _problem(model, loss)):
            continue
        model.zero_grad(set_to_none=True)
        found = find_nonfinite_samples(model, subject.objective, [batch], subject.seed, _no_autocast)
        where = [subject.locate(number) for number in found.to_blame]
        named = f", from {some(where)}" if where else f" ({found.sentence(subject.locate)})"
        fix = "ocrctl dataset validate SPEC --for ARCH; divide a loss by a sum only after clamp(min=1)"
        return fail("batches", f"{problem}{named}", fix, "training stops when it draws these samples")
    return ok("batches", f"loss and gradients of {total} samples in {1 + len(subject.more)} batches are finite")


def _no_autocast() -> Any:
    return torch.autocast("cpu", enabled=False)
