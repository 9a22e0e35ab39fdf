"""Check the training state in a checkpoint before it is restored: counters, weights, optimizer and loop state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from ocrctl.errors import InputError
from ocrctl.models.torch_file import weights_of
from ocrctl.shell import shell_quote

MOST_STEPS = 1 << 53


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class SavedSchedule(_Saved):
    """training.schedule.Progress.state."""

    warmup_steps: int | None = Field(ge=0, le=MOST_STEPS)
    max_steps: int | None = Field(ge=1, le=MOST_STEPS)


class SavedCounters(_Saved):
    """training.callbacks.RunState, without its last row."""

    model_config = ConfigDict(extra="forbid")  # what this version would not count on with

    best: float
    best_step: int = Field(ge=0, le=MOST_STEPS)
    stale: int = Field(ge=0, le=MOST_STEPS)
    validated: int = Field(0, ge=0, le=MOST_STEPS)
    skipped: int = Field(0, ge=0, le=MOST_STEPS)


class _Callbacks(_Saved):
    RunCallback: SavedCounters


class SavedPosition(_Saved):
    """Position of a run: optimiser steps, seconds, the next draw number, its counters, its schedule (None in an old
    checkpoint)."""

    global_step: int = Field(ge=0, le=MOST_STEPS)
    elapsed: float = Field(ge=0, allow_inf_nan=False)
    next_draw: int = Field(ge=0, le=MOST_STEPS)
    callbacks: _Callbacks
    schedule: SavedSchedule | None = None

    @property
    def validated(self) -> int:
        """Return the step of the last whole validation."""
        return self.callbacks.RunCallback.validated


def saved_position(raw: Mapping[str, Any], path: Path) -> SavedPosition:
    """Return the position in the checkpoint `raw` at `path`. Raises InputError when it holds none, as one of weights
    alone."""
    try:
        return SavedPosition.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{name}: {first['msg'].lower()}") from error


def check_training_state(
    raw: Mapping[str, Any],
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    loops: Mapping[str, Any],
) -> None:
    """Raise InputError when the checkpoint `raw` does not fit what is about to be restored from it: the weights of
    `module`, the state of `optimizer`, and the counters of Lightning's fit loop, `loops` (its state as it is now)."""
    own = module.state_dict()
    _same_shapes(path, "state_dict", weights_of(raw["state_dict"], f"{path}: state_dict"), own)
    if "ema" in raw:
        floats = {name.removeprefix("model."): value for name, value in own.items() if value.is_floating_point()}
        _same_shapes(path, "ema", weights_of(raw["ema"], f"{path}: ema"), floats)
    if "loss_scale" in raw and not _alike(raw["loss_scale"], (1.0, 0.0)):
        raise _damaged(path, f"loss_scale should be two finite numbers, found {repr(raw['loss_scale'])[:60]}")
    states = raw.get("optimizer_states")
    if not isinstance(states, list) or len(states) != 1 or not isinstance(states[0], dict):
        raise _damaged(path, "optimizer_states should be a list of one state")
    _check_optimizer(path, states[0], optimizer)
    held = raw.get("loops")
    if not isinstance(held, dict) or not isinstance(held.get("fit_loop"), dict):
        raise _damaged(path, "loops should hold the counters of fit_loop")
    if name := _unlike(held["fit_loop"], loops):
        raise _damaged(path, f"loops.fit_loop{name} is no counter")


def _check_optimizer(path: Path, held: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    own = optimizer.state_dict()
    groups, state = held.get("param_groups"), held.get("state")
    if not isinstance(groups, list) or not isinstance(state, dict) or len(groups) != len(own["param_groups"]):
        raise _damaged(path, f"the optimizer state should have {len(own['param_groups'])} groups of parameters")
    for number, (group, like) in enumerate(zip(groups, own["param_groups"], strict=True)):
        if not isinstance(group, dict) or group.get("params") != like["params"]:
            raise _damaged(path, f"group {number} of the optimizer state holds other parameters than the model")
        for name, value in like.items():
            if name not in group or not _alike(group[name], value):
                raise _damaged(path, f"{name} of group {number} of the optimizer state is no setting of it")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, values in state.items():
        fits = isinstance(key, int) and 0 <= key < len(parameters) and isinstance(values, dict)
        if not fits or not all(_fits(value, parameters[key]) for value in values.values()):
            raise _damaged(path, f"the optimizer state of parameter {repr(key)[:40]} does not fit the model")


def _fits(value: Any, parameter: Tensor) -> bool:
    """Whether `value` may be a moment of `parameter`, or a count of its steps."""
    return isinstance(value, Tensor) and value.is_floating_point() and value.shape in (parameter.shape, torch.Size([]))


def _alike(value: Any, like: Any) -> bool:
    """Whether a setting of an optimizer is of the kind that another has."""
    if isinstance(like, bool) or like is None:
        return value is None or isinstance(value, bool)
    if isinstance(like, (int, float)):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if isinstance(like, (list, tuple)):
        same = isinstance(value, (list, tuple)) and len(value) == len(like)
        return same and all(_alike(one, other) for one, other in zip(value, like, strict=True))
    return isinstance(value, type(like))


def _unlike(held: Any, like: Any) -> str:
    """Dotted name of the first member of `held` that is of another kind than in `like`, "" when none is. What only
    one of them has is left to Lightning, whose versions differ."""
    if isinstance(like, Mapping):
        if not isinstance(held, Mapping):
            return " "
        for name in like.keys() & held.keys():
            if found := _unlike(held[name], like[name]):
                return f".{name}{found}".rstrip()
        return ""
    if isinstance(like, bool):
        return "" if isinstance(held, bool) else " "
    if isinstance(like, int):
        return "" if isinstance(held, int) and 0 <= held <= MOST_STEPS else " "
    return ""


def _same_shapes(path: Path, part: str, held: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    for name in sorted(held.keys() | own.keys()):
        shapes = [tuple(values[name].shape) if name in values else "none" for values in (held, own)]
        if shapes[0] != shapes[1]:
            raise _damaged(path, f"{part} holds {name[:80]} of shape {shapes[0]}, the model has {shapes[1]}")


def _damaged(path: Path, reason: str) -> InputError:
    run = path.parent
    return InputError(
        f"{path}: no training can go on from it: {reason}.",
        hint=f"start a new run from its settings and weights: ocrctl train -p {shell_quote(run / 'config.toml')} "
        f"--from {shell_quote(run / 'best.ckpt')}",
    )
