"""Convert settings trees to dotted names and back."""

from __future__ import annotations

from typing import Any


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Convert {"train": {"lr": 1}} to {"train.lr": 1}."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        result.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return result


def nested(names: dict[str, Any]) -> dict[str, Any]:
    """Convert {"train.lr": 1} to {"train": {"lr": 1}}."""
    tree: dict[str, Any] = {}
    for dotted, value in names.items():
        *sections, last = dotted.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[last] = value
    return tree
