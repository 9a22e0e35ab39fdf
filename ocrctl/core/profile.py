"""`ocrctl profile`: list, show, check and copy profiles, and list settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ocrctl.config.limits import variable
from ocrctl.config.load import TASKS, for_task, load_checked_profile
from ocrctl.config.profiles import find_profile, load_profile, shipped_profiles
from ocrctl.config.settings import Settings
from ocrctl.core.settings import load_settings
from ocrctl.errors import UsageError
from ocrctl.files.atomic import write_text
from ocrctl.models.registry import spec_for, specs


@dataclass(frozen=True)
class ProfileEntry:
    """One profile: name, path and description."""

    name: str
    path: Path
    description: str


@dataclass(frozen=True)
class SettingEntry:
    """One setting: dotted name, type, default (None when unset), environment variable, and documentation with unit."""

    name: str
    type: str
    default: Any
    variable: str
    help: str


def list_profiles() -> list[ProfileEntry]:
    """Return the shipped profiles, by name."""
    return [
        ProfileEntry(name, path, load_profile(name).get("description", "")) for name, path in shipped_profiles().items()
    ]


def show_profile(name: str) -> str:
    """Return the text of a profile. Raises UsageError for an unknown name."""
    load_profile(name)
    return find_profile(name).read_text(encoding="utf-8")


def check_profiles(names: list[str]) -> list[str]:
    """Validate names, values and the sections of every task and model family (all shipped profiles when `names` is
    empty).

    Returns the names checked; raises UsageError or InputError at the first error.
    """
    checked = names or list(shipped_profiles())
    for name in checked:
        tree = load_checked_profile(name, specs())
        for task in TASKS:
            for_task(tree, task, None)
            load_settings([name], task=task)
        for spec in specs().values():
            load_settings([name], flags={"arch": spec.name})
        own = load_settings([name])
        if own.arch:
            spec_for(own.arch, own.model)
    return checked


def copy_profile(name: str, target: Path, *, overwrite: bool = False) -> Path:
    """Copy a profile to `target` (a file, or a folder to put it in). Raises UsageError when the file exists,
    InputError when it cannot be written."""
    source = find_profile(name)
    path = target / source.name if target.is_dir() else target
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already.", hint="choose another name, or pass --overwrite")
    write_text(path, source.read_text(encoding="utf-8"), create=not overwrite)
    return path


def list_settings(model: type[BaseModel] = Settings, prefix: str = "") -> list[SettingEntry]:
    """Return every setting with its default and documentation."""
    entries: list[SettingEntry] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            entries += list_settings(annotation, f"{prefix}{name}.")
            continue
        dotted = prefix + name
        kind = annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
        entries.append(SettingEntry(dotted, kind, field.default, variable(dotted), (field.description or "").strip()))
    return entries
