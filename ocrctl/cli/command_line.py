"""The command line as it was typed, for hints that repeat it corrected."""

from __future__ import annotations

import os
from collections.abc import Sequence

COMPLETE = "_OCRCTL_COMPLETE"  # what a shell sets to ask for words instead of running a command
_words: list[str] = []


def remember(words: Sequence[str]) -> None:
    """Keep the words after `ocrctl`."""
    _words[:] = words


def typed_words() -> list[str]:
    """The words after `ocrctl`."""
    return list(_words)


def quoted(words: Sequence[str]) -> str:
    """Words as a shell takes them; what a shell would not touch stays as it is."""
    import shlex

    return shlex.join(words)


def completing() -> bool:
    """Whether a shell asks for the words that may come next."""
    return COMPLETE in os.environ
