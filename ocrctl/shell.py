"""What a shell hands over: how a path or SPEC is typed, for the commands that messages suggest, and variables."""

from __future__ import annotations

import shlex
from pathlib import PurePath

VARIABLES = ("OCRCTL_DATA", "OCRCTL_PROFILE", "OCRCTL_DEBUG")  # read apart: not settings


def typed(place: str | PurePath) -> str:
    """`place` quoted where need be, and never taken for an option: `-run` becomes `./-run`."""
    text = str(place)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
