"""Quote paths for suggested commands, name the reserved environment variables, and list termination signals."""

from __future__ import annotations

import shlex
import signal
from pathlib import PurePath

from ocrctl.escape import has_control

VARIABLES = ("OCRCTL_DATA", "OCRCTL_PROFILE", "OCRCTL_PLUGIN", "OCRCTL_DEBUG")  # reserved, not settings


def shell_quote(path: str | PurePath) -> str:
    """Quote a path or SPEC for a shell if necessary; `-run` becomes `./-run`, so that it is not parsed as an option.

    Control characters and bytes that are not UTF-8 are escaped as `$'...'`, which bash, zsh and ksh support.
    """
    text = str(path)
    text = f"./{text}" if text.startswith("-") else text
    return _escaped(text) if has_control(text) else shlex.quote(text)


def termination_signals() -> list[int]:
    """Return the signals besides Ctrl-C on which a command saves and exits: SIGTERM, SIGHUP (closed terminal), SIGUSR1
    (SLURM's warning). Signals ignored at the start stay ignored: `nohup` ignores SIGHUP."""
    present = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
    return [number for number in present if signal.getsignal(number) is not signal.SIG_IGN]


def _escaped(text: str) -> str:
    shown = []
    for char in text:
        if has_control(char) or char in "'\\":
            undecodable = "\udc80" <= char <= "\udcff"
            bytes_of = char.encode("utf-8", "surrogateescape" if undecodable else "surrogatepass")
            shown += [f"\\x{byte:02x}" for byte in bytes_of]
        else:
            shown.append(char)
    return f"$'{''.join(shown)}'"
