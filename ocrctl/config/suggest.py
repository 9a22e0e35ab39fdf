"""Suggest the nearest known name or path for a misspelt one ("Did you mean ...?")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from ocrctl.config.aliases import setting_of_alias


def did_you_mean(word: str, known: Iterable[str], shown: Mapping[str, str] | None = None) -> str:
    """Return `" Did you mean 'x'?"` for the nearest known name, or an empty string when none is near. `shown`
    maps a known name to the text to show."""
    folded = {name.lower(): shown[name] if shown else name for name in known}
    near = get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    return f" Did you mean {folded[near[0]]!r}?" if near else ""


def near_path(path: str | Path) -> str:
    """Return `" Did you mean 'x'?"` for the path that exists with its first missing part replaced by the nearest name
    beside it, or an empty string."""
    missing = Path(path).expanduser()
    rest: list[str] = []
    while not missing.parent.is_dir():
        if missing.parent == missing:
            return ""
        rest.insert(0, missing.name)
        missing = missing.parent
    try:
        names = [entry.name for entry in missing.parent.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return ""
    for name in get_close_matches(missing.name, names, n=3, cutoff=0.6):
        if (found := missing.with_name(name).joinpath(*rest)).exists():
            return f" Did you mean {str(found)!r}?"
    return ""


def nearest_setting(dotted: str, names: list[str]) -> str:
    """Return the suggestion for a dotted setting: that of an alias, the nearest in its section, or in another one."""
    if meant := setting_of_alias(dotted, names):
        return f" Did you mean {meant.setting!r}?"
    section, dot, last = dotted.rpartition(".")
    if not dot:
        return did_you_mean(dotted, [*names, *sorted({name.split(".")[0] for name in names if "." in name})])
    own = {name.removeprefix(section + "."): name for name in names if name.startswith(section + ".")}
    others = {name.rpartition(".")[2]: name for name in names}
    return did_you_mean(last, own, own) or did_you_mean(last, others, others)
