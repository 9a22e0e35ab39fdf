"""How a path or SPEC is typed in a shell, for the commands that messages suggest."""

from __future__ import annotations

import shlex
from pathlib import PurePath


def typed(place: str | PurePath) -> str:
    """`place` quoted where need be, and never taken for an option: `-run` becomes `./-run`."""
    text = str(place)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
