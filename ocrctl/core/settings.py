"""Merge the settings of a run with the defaults of its architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ocrctl.config.load import merge_settings
from ocrctl.config.settings import Settings
from ocrctl.models.registry import specs


def load_settings(
    profiles: Sequence[str] = (),
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    task: str | None = None,
) -> Settings:
    """Merge all layers of settings for the registered architectures; arguments and errors as in
    `config.load.merge_settings`."""
    return merge_settings(specs(), profiles, sets, flags, task)
