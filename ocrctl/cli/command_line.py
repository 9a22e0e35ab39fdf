"""The command line as it was typed, for hints that repeat it corrected."""

from __future__ import annotations

from collections.abc import Sequence

_words: list[str] = []


def remember(words: Sequence[str]) -> None:
    """Keep the words after `ocrctl`."""
    _words[:] = words


def typed_words() -> list[str]:
    """The words after `ocrctl`."""
    return list(_words)
