"""Names of settings that changed: read the old ones for one release, and drop those that were removed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ocrctl.config.limits import variable
from ocrctl.errors import RenamedWarning, UsageError

Tree = dict[str, Any]

# Old name to new name, both dotted. Remove an entry one release after the one that renamed the setting.
RENAMED = {
    "page.zoom_least": "page.zoom_min",
    "page.zoom_most": "page.zoom_max",
    "train.checkpointing": "train.activation_checkpointing",
}
RENAMED_VARIABLES = {variable(old): variable(new) for old, new in RENAMED.items()}
# Settings of 0.1 that saved runs contain, each with the only value that still applies.
REMOVED = {"data.targets": "worker"}


def rename_settings(tree: Mapping[str, Any], origin: str, *, warn: bool = True) -> Tree:
    """Return a copy of `tree` (sections and values) with the old names of RENAMED replaced by the new ones.

    `origin` names the layer in messages, such as "--set" or a path. Emits a RenamedWarning for each old name unless
    `warn` is False. Raises UsageError when `tree` contains both names of one setting.
    """
    copy = {key: dict(value) if isinstance(value, dict) else value for key, value in tree.items()}
    for old, new in RENAMED.items():
        section, old_key = _split(old)
        branch = copy.get(section) if section else copy
        if not isinstance(branch, dict) or old_key not in branch:
            continue
        new_section, new_key = _split(new)
        target = copy.setdefault(new_section, {}) if new_section else copy
        if not isinstance(target, dict):  # reported by the check of the keys
            continue
        _expect_one(new_key in target, old, new, origin)
        target[new_key] = branch.pop(old_key)
        if warn:
            warn_renamed(old, new, origin)
    return copy


def rename_variables(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return `variables` (names in lower case) with the OCRCTL_* variables of old settings under their new names.

    Emits a RenamedWarning for each old name. Raises UsageError when both names of one setting are set.
    """
    renamed = dict(variables)
    for old, new in RENAMED_VARIABLES.items():
        if old.lower() in renamed:
            _expect_one(new.lower() in renamed, old, new, "environment")
            renamed[new.lower()] = renamed.pop(old.lower())
            warn_renamed(old, new, "environment")
    return renamed


def drop_removed(tree: Mapping[str, Any]) -> Tree:
    """Return a copy of a saved tree without the settings of REMOVED that have the value that still applies."""
    kept = {name: dict(value) if isinstance(value, dict) else value for name, value in tree.items()}
    for dotted, value in REMOVED.items():
        section, name = _split(dotted)
        branch = kept.get(section)
        if isinstance(branch, dict) and branch.get(name) == value:
            del branch[name]
    return kept


def warn_renamed(old: str, new: str, origin: str) -> None:
    """Emit the warning that `old` is now called `new`."""
    warnings.warn(
        f"{origin}: {old} is now called {new}; the old name will stop working in the next release.",
        RenamedWarning,
        stacklevel=2,
    )


def _split(dotted: str) -> tuple[str, str]:
    section, _, name = dotted.rpartition(".")
    return section, name


def _expect_one(both: bool, old: str, new: str, origin: str) -> None:
    if both:
        raise UsageError(f"{origin}: {old} and {new} are two names of one setting.", hint=f"remove {old}")
