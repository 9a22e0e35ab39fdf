"""Check the masks that a model gives to attention, and the in-place operations of its forward pass.

PyTorch's conventions differ: in MultiheadAttention and the Transformer layers a boolean True is masked, in
scaled_dot_product_attention True attends, and a float mask is added to the scores in both, so that a mask of ones and
zeros masks nothing (https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ocrctl.diagnose.checks import Check, fail, ok, skipped, some
from ocrctl.diagnose.model.subject import Subject
from ocrctl.models.ocr_model import OCRModel

MASKING = -1e4  # an additive mask has to bring a score at least this low; softmax then gives 0 in float16, too
_ASSIGNMENTS = {"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__"}


@dataclass
class Watched:
    """What one forward pass did: `masks`, (where, masks of one call by name); `in_place`, names of operations."""

    masks: list[tuple[str, dict[str, Tensor]]] = field(default_factory=list)
    in_place: list[str] = field(default_factory=list)


class _Functions(TorchFunctionMode):
    """Record masks and in-place operations of functions that are called outside of PyTorch's own modules."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.watched = watched

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one function and record it."""
        named = kwargs or {}
        name = getattr(func, "__name__", "")
        if func is F.scaled_dot_product_attention:
            mask = named.get("attn_mask", args[3] if len(args) > 3 else None)
            if isinstance(mask, Tensor):
                self.watched.masks.append(("scaled_dot_product_attention", {"attn_mask": mask}))
        if args and isinstance(args[0], Tensor) and args[0].requires_grad:
            inside = name in _ASSIGNMENTS or (name.endswith("_") and not name.endswith("__"))
            if (inside or _is_inplace(func, args, named)) and name != "requires_grad_":
                self.watched.in_place.append(name)
        return func(*args, **named)


def _is_inplace(func: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    if "inplace" in named:
        return bool(named["inplace"])
    if not inspect.isfunction(func) or func.__module__ != F.__name__:
        return False
    try:
        return bool(inspect.signature(func).bind(*args, **named).arguments.get("inplace", False))
    except (TypeError, ValueError):
        return False


@contextmanager
def watching(model: nn.Module) -> Iterator[Watched]:
    """Record the masks and in-place operations of `model` inside."""
    watched = Watched()

    def of(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            try:
                given = inspect.signature(module.forward).bind(*args, **named).arguments
            except (TypeError, ValueError):
                return
            masks = {key: value for key, value in given.items() if "mask" in key and isinstance(value, Tensor)}
            if masks:
                watched.masks.append((name, masks))

        return hook

    library = [
        (name, module)
        for name, module in model.named_modules()
        if type(module).__module__.startswith("torch.nn.modules") and "mask" in str(inspect.signature(module.forward))
    ]
    handles = [module.register_forward_pre_hook(of(name), with_kwargs=True) for name, module in library]
    try:
        with _Functions(watched):
            yield watched
    finally:
        for handle in handles:
            handle.remove()


def check_masks(subject: Subject) -> list[Check]:
    """Check the dtype and values of masks, and, with CTC, that no operation changes an activation in place."""
    model = subject.build()
    with watching(model) as watched:
        subject.objective(model, subject.batch)
    trained = watched.in_place
    if subject.autoregressive:
        labels, images = subject.made_up()
        named = {} if subject.card.kept is None else {"widths": torch.full((2,), images.shape[3], device=images.device)}
        with watching(model) as padded, torch.no_grad():
            model(images, labels, **named)
        model.eval()
        with watching(model) as reading, torch.no_grad():
            model(subject.batch["images"], **subject.widths(subject.batch))
        watched.masks += padded.masks + reading.masks
    return [_masks(watched), _in_place(subject, model, trained)]


def _masks(watched: Watched) -> Check:
    fix = "build every mask as torch.bool: True is masked in MultiheadAttention, True attends in scaled_dot_product_"
    fix += "attention"
    if not watched.masks:
        return skipped("masks", "no mask reaches attention")
    kinds: dict[str, int] = {}
    for where, masks in watched.masks:
        for name, mask in masks.items():
            kinds[str(mask.dtype).removeprefix("torch.")] = kinds.get(str(mask.dtype).removeprefix("torch."), 0) + 1
            if problem := _mask_problem(mask):
                return fail("masks", f"{name} of {where} is {problem}", fix, "padding is attended as if it were text")
        dtypes = {str(mask.dtype).removeprefix("torch.") for mask in masks.values()}
        if len(dtypes) > 1:
            meaning = (
                "PyTorch refuses or misreads the combination: an error in one version, unmasked padding in another"
            )
            return fail("masks", f"{where} receives {', '.join(masks)} as {' and '.join(sorted(dtypes))}", fix, meaning)
        if full := _fully_masked(where, masks):
            meaning = "the softmax of a row without any key is NaN"
            return fail("masks", full, "leave one key in each row, such as [BOS]", meaning)
    shown = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return ok("masks", f"{shown}; float masks are additive" if "float32" in kinds else shown)


def _mask_problem(mask: Tensor) -> str:
    """Return what is wrong with a mask on its own, "" when nothing is."""
    if mask.dtype is torch.bool:
        return ""
    kind = str(mask.dtype).removeprefix("torch.")
    if not mask.is_floating_point():
        return f"{kind}, expected bool"
    values = mask.detach().float()
    if bool((values > 0).any()):
        return f"{kind} with values up to {float(values.max()):g}: they are added to the scores and mask nothing"
    if bool(((values < 0) & (values > MASKING)).any()):
        return f"{kind} with values down to {float(values.min()):g}, too small to mask"
    return ""


def _fully_masked(where: str, masks: dict[str, Tensor]) -> str:
    for name, mask in masks.items():
        if mask.dtype is not torch.bool:
            empty = torch.isneginf(mask.detach()).all(-1)
        elif where == "scaled_dot_product_attention":
            empty = ~mask.any(-1)
        else:
            empty = mask.all(-1)
        if bool(empty.any()):
            return f"{name} of {where} masks every key of {int(empty.sum())} rows"
    return ""


def _in_place(subject: Subject, model: OCRModel, operations: list[str]) -> Check:
    modules = [name for name, module in model.named_modules() if getattr(module, "inplace", False)]
    found = [*modules, *dict.fromkeys(operations)]
    if not found:
        return ok("in-place", "no operation changes an activation in place")
    if not subject.ctc:
        return ok("in-place", f"{some(found)}; allowed, since the loss is not CTC")
    return fail(
        "in-place",
        f"{some(found)} change activations before the CTC loss",
        "inplace=False, or the operation without the trailing underscore",
        "the backward pass may read overwritten activations: wrong gradients, or an error that names another layer",
    )
