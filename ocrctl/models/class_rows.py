"""Match class weights of two charsets by character: fine-tuning and merging keep what both models know."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def shared_rows(own: str, given: str) -> list[tuple[int, int]]:
    """Return (position in charset `own`, position in charset `given`) of each character of both, in order of `own`."""
    positions = {char: position for position, char in enumerate(given)}
    return [(position, positions[char]) for position, char in enumerate(own) if char in positions]


def rows_by_character(
    own: torch.Tensor, given: torch.Tensor, pairs: Sequence[tuple[int, int]], given_chars: int
) -> torch.Tensor:
    """Return `own` with the rows of `given` of the same class: row 0, the characters of `pairs` (position in own
    charset, in the given one), and the special classes after the characters."""
    merged = own.clone()
    merged[0] = given[0]
    for row, before in pairs:
        merged[row + 1] = given[before + 1]
    behind = given.shape[0] - 1 - given_chars
    if behind:
        merged[-behind:] = given[-behind:]
    return merged
