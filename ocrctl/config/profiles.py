"""Find and load profiles: TOML files, by name (shipped with the package) or by path."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import InputError, UsageError
from ocrctl.files.regular import file_kind, read_regular


def profile_folder() -> Path:
    """Return the folder of the shipped profiles: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "profiles"
    return inside if inside.is_dir() else package.parent / "profiles"


def shipped_profiles() -> dict[str, Path]:
    """Return the path of every shipped profile by name, sorted."""
    return {path.stem: path for path in sorted(profile_folder().glob("*.toml"))}


def find_profile(name: str) -> Path:
    """Return the path of a profile by name or path. Raises UsageError, with the nearest name, if there is none."""
    shipped = shipped_profiles()
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.exists() and not (path.is_dir() and len(path.parts) == 1):  # a folder may have the name that was mistyped
        found = file_kind(path.stat().st_mode)
        raise UsageError(f"Profile {name}: expected a TOML file, found {found}.", hint="ocrctl profile list")
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UsageError(f"Profile file {name} does not exist.", hint="ocrctl profile list")
    raise UsageError(f"Unknown profile {name!r}.{did_you_mean(name, shipped)}", hint="ocrctl profile list")


def load_profile(name: str) -> dict[str, Any]:
    """Load the tree of a profile, unchecked. Raises UsageError when it is missing, InputError when it is not TOML."""
    path = find_profile(name)
    try:
        return tomllib.loads(read_regular(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file: {error}.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
