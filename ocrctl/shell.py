"""What a shell hands over: how a path or SPEC is typed, for the commands that messages suggest, and variables."""

from __future__ import annotations

import shlex
from pathlib import PurePath

from ocrctl.escape import has_control

VARIABLES = ("OCRCTL_DATA", "OCRCTL_PROFILE", "OCRCTL_DEBUG")  # read apart: not settings


def typed(place: str | PurePath) -> str:
    """`place` quoted where need be, and never taken for an option: `-run` becomes `./-run`.

    A name with controls, or one that is not UTF-8, becomes `$'...'`, which bash, zsh and ksh read and a terminal shows.
    """
    text = str(place)
    text = f"./{text}" if text.startswith("-") else text
    return _escaped(text) if has_control(text) else shlex.quote(text)


def _escaped(text: str) -> str:
    shown = []
    for char in text:
        if has_control(char) or char in "'\\":
            byte_of_name = "\udc80" <= char <= "\udcff"
            bytes_of = char.encode("utf-8", "surrogateescape" if byte_of_name else "surrogatepass")
            shown += [f"\\x{byte:02x}" for byte in bytes_of]
        else:
            shown.append(char)
    return f"$'{''.join(shown)}'"
