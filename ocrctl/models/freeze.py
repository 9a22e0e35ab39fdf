"""Freeze parameters for fine-tuning (`train.freeze`): the first layers, or those that a pattern names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import UsageError
from ocrctl.models.ocr_model import OCRModel

REGEX = "re:"


@dataclass(frozen=True)
class Frozen:
    """What `freeze` froze, in words, and how many numbers that is."""

    what: str = ""
    parameters: int = 0


def freeze(model: OCRModel, setting: int | str | None) -> Frozen:
    """Exclude parameters of `model` from training; modules without any other parameter run in evaluation mode, so that
    their batch normalisation keeps its statistics and their dropout is off.

    setting: the number of layers to freeze from the input on (OCRModel.layer_depth), or names: parameters, modules,
    globs over parameter names (several separated by commas), or `re:` and a regular expression found in them. None, 0
    and "" freeze nothing. Raises UsageError for a number or name that the model does not have, and when nothing would
    be left to train.
    """
    if isinstance(setting, str) and setting.strip().isdecimal():
        setting = int(setting)
    if not setting:
        return Frozen()
    names = [name for name, _ in model.named_parameters()]
    if isinstance(setting, int):
        chosen, what = _first_layers(model, setting, names), f"layers 0 to {setting - 1} of {model.layers}"
    else:
        chosen, what = _matching(setting, names), setting
    if len(chosen) == len(names):
        raise UsageError(f"train.freeze={setting}: it names every parameter, so that nothing would be trained.")
    frozen = 0
    for name, parameter in model.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    return Frozen(what, frozen)


def _first_layers(model: OCRModel, count: int, names: list[str]) -> set[str]:
    if model.layers == 1:
        raise UsageError(
            "train.freeze: this architecture does not number its layers.", hint="--set 'train.freeze=encoder.*'"
        )
    if not 0 < count < model.layers:
        raise UsageError(
            f"train.freeze={count}: expected 0 to {model.layers - 1}, of the {model.layers} layers of this model the "
            "last one is its decoder and head."
        )
    return {name for name in names if model.layer_depth(name) < count}  # type: ignore[operator]


def _matching(setting: str, names: list[str]) -> set[str]:
    if setting.startswith(REGEX):
        try:
            pattern = re.compile(setting[len(REGEX) :])
        except re.error as error:
            raise UsageError(f"train.freeze={setting}: not a regular expression ({error}).") from error
        chosen = {name for name in names if pattern.search(name)}
        if not chosen:
            raise UsageError(f"train.freeze={setting}: no parameter matches it.", hint=_shown(names))
        return chosen
    chosen = set()
    for part in filter(None, (part.strip() for part in setting.split(","))):
        found = {name for name in names if fnmatchcase(name, part) or name.startswith(f"{part.rstrip('.')}.")}
        if not found:
            near = did_you_mean(part, sorted(_prefixes(names)))
            raise UsageError(f"train.freeze={part}: no parameter or module has this name.{near}", hint=_shown(names))
        chosen |= found
    return chosen


def _prefixes(names: Iterable[str]) -> set[str]:
    """Return all names of parameters and of the modules that hold them."""
    parts = [name.split(".") for name in names]
    return {".".join(words[:count]) for words in parts for count in range(1, len(words) + 1)}


def _shown(names: list[str]) -> str:
    """Describe which names there are: the modules of the first two levels."""
    modules = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
    return f"it has {', '.join(list(modules)[:12])}{' ...' if len(modules) > 12 else ''}"
