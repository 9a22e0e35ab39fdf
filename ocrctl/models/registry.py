"""The model families that ocrctl knows: the one list of architectures. Torch-free."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import UsageError
from ocrctl.models.family import ModelFamily

FAMILIES = ("crnn", "parseq", "dbnet", "pan", "craft")  # folders of ocrctl/models with a spec.py
DEFAULT_ARCH = "crnn-tiny"


@cache
def families() -> dict[str, ModelFamily]:
    """Every family by its name."""
    return {name: import_module(f"ocrctl.models.{name}.spec").FAMILY for name in FAMILIES}


@cache
def specs() -> dict[str, ModelSpec]:
    """Every architecture by its name."""
    return {spec.name: spec for family in families().values() for spec in family.specs}


def get_spec(name: str, width: int | None = None) -> ModelSpec:
    """Return the spec of architecture `name`, for images of another `width` in pixels where one is given.

    Raises UsageError, with the nearest name, when the name is unknown, and where the width does not suit.
    """
    known = specs()
    if name in known:
        return known[name] if width is None else known[name].at_width(width)
    raise UsageError(f"Unknown architecture {name!r}.{did_you_mean(name, known)}", hint="ocrctl model list")


def family_of(arch: str) -> ModelFamily:
    """The family of architecture `arch`. Raises UsageError when that is unknown."""
    return families()[get_spec(arch).family]
