"""The command line as typed, for hints that repeat it with corrections."""

from __future__ import annotations

import os
from collections.abc import Sequence

COMPLETE = "_OCRCTL_COMPLETE"  # set by a shell that requests completions instead of running a command
_words: list[str] = []


def remember(words: Sequence[str]) -> None:
    """Store the words after `ocrctl`."""
    _words[:] = words


def typed_words() -> list[str]:
    """Return the words after `ocrctl`."""
    return list(_words)


def quoted(words: Sequence[str]) -> str:
    """Join words into a command line, quoted for a shell where needed."""
    import shlex

    return shlex.join(words)


def completing() -> bool:
    """Whether a shell requests completions."""
    return COMPLETE in os.environ
