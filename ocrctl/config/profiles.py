"""Profiles: TOML fragments found by name (shipped with the package) or by path."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import InputError, UsageError
from ocrctl.files.regular import read_regular


def profile_folder() -> Path:
    """Folder of the shipped profiles: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "profiles"
    return inside if inside.is_dir() else package.parent / "profiles"


def shipped_profiles() -> dict[str, Path]:
    """Name to path of every shipped profile, sorted by name."""
    return {path.stem: path for path in sorted(profile_folder().glob("*.toml"))}


def find_profile(name: str) -> Path:
    """Path of a profile given by name or path. Raises UsageError, with the nearest name, when there is none."""
    shipped = shipped_profiles()
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UsageError(f"Profile file {name} does not exist.", hint="ocrctl profile list")
    raise UsageError(f"Unknown profile {name!r}.{did_you_mean(name, shipped)}", hint="ocrctl profile list")


def load_profile(name: str) -> dict[str, Any]:
    """The profile's tree, unchecked. Raises UsageError when it is missing, InputError when it is not TOML."""
    path = find_profile(name)
    try:
        return tomllib.loads(read_regular(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file: {error}.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
