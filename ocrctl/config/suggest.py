"""Did you mean ...?: the nearest known name to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from ocrctl.config.aliases import setting_of_alias


def did_you_mean(word: str, known: Iterable[str], shown: Mapping[str, str] | None = None) -> str:
    """Return `" Did you mean 'x'?"` for the nearest known name, or an empty string when none is near. `shown`: what to
    say instead of a known name."""
    folded = {name.lower(): shown[name] if shown else name for name in known}
    near = get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    return f" Did you mean {folded[near[0]]!r}?" if near else ""


def nearest_setting(dotted: str, names: list[str]) -> str:
    """As `did_you_mean`, of a dotted setting: what other tools call so, one of its own section, or one of such a name
    elsewhere."""
    if meant := setting_of_alias(dotted, names):
        return f" Did you mean {meant.setting!r}?"
    section, dot, last = dotted.rpartition(".")
    if not dot:
        return did_you_mean(dotted, [*names, *sorted({name.split(".")[0] for name in names if "." in name})])
    own = {name.removeprefix(section + "."): name for name in names if name.startswith(section + ".")}
    others = {name.rpartition(".")[2]: name for name in names}
    return did_you_mean(last, own, own) or did_you_mean(last, others, others)
