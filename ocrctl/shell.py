"""What a shell hands over: how a path or SPEC is typed, for the commands that messages suggest, variables, signals."""

from __future__ import annotations

import shlex
import signal
from pathlib import PurePath

from ocrctl.escape import has_control

VARIABLES = ("OCRCTL_DATA", "OCRCTL_PROFILE", "OCRCTL_PLUGIN", "OCRCTL_DEBUG")  # read apart: not settings


def shell_quote(place: str | PurePath) -> str:
    """`place` quoted where need be, and never taken for an option: `-run` becomes `./-run`.

    A name with controls, or one that is not UTF-8, becomes `$'...'`, which bash, zsh and ksh read and a terminal shows.
    """
    text = str(place)
    text = f"./{text}" if text.startswith("-") else text
    return _escaped(text) if has_control(text) else shlex.quote(text)


def termination_signals() -> list[int]:
    """Signals besides Ctrl-C on which a command saves and ends: SIGTERM, SIGHUP (a closed terminal), SIGUSR1 (SLURM's
    warning). What was ignored when the command started stays so: `nohup` does that with SIGHUP."""
    present = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
    return [number for number in present if signal.getsignal(number) is not signal.SIG_IGN]


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
