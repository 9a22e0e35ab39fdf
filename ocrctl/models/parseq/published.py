"""The published weights of PARSeq, under the tensor names of its release."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ocrctl.text.charset import ASCII94

MARKS = ("pos_queries", "text_embed.embedding.weight", "head.weight", "encoder.pos_embed")


def published_charset(weights: object) -> str | None:
    """The charset of a PARSeq release (baudm/parseq: a plain dictionary of tensors), None when it is no such file.

    All releases write the 94 printable characters of ASCII in one order, which `text.charset.ASCII94` has.
    """
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        return None
    if any(mark not in weights for mark in MARKS) or weights["head.weight"].shape[:1] != (len(ASCII94) + 1,):
        return None
    return ASCII94
