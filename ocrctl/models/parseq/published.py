"""Recognise the published weights of PARSeq (baudm/parseq)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ocrctl.text.charset import ASCII94

SIGNATURE = ("pos_queries", "text_embed.embedding.weight", "head.weight", "encoder.pos_embed")


def published_charset(weights: object) -> str | None:
    """Return the charset of a published PARSeq state dict, None for any other object.

    All releases use the 94 printable ASCII characters in the order of `text.charset.ASCII94`.
    """
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        return None
    if any(name not in weights for name in SIGNATURE) or weights["head.weight"].shape[:1] != (len(ASCII94) + 1,):
        return None
    return ASCII94
