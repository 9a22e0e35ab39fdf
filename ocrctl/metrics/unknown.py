"""Ground-truth characters that a model cannot write: counted, reported, never dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ocrctl.metrics.evaluation import UnknownCharacters
from ocrctl.metrics.recognition import get_protocol


def unknown_characters(model: str, charset: str, truths: Sequence[str], protocol: str) -> UnknownCharacters | None:
    """What of `truths`, under `protocol`, the model's `charset` cannot spell; None when it can spell everything.

    The charset is normalised as the labels are: under `str36` a model that writes capitals alone can spell "a".
    """
    normalise = get_protocol(protocol)
    writable = {char for single in charset for char in normalise(single)}
    kept = [text for text in map(normalise, truths) if text]
    missing = [[char for char in text if char not in writable] for text in kept]
    labels = sum(bool(chars) for chars in missing)
    if labels == 0:
        return None
    counts = Counter(char for chars in missing for char in chars)
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return UnknownCharacters(model, protocol, labels, labels / len(kept), ordered)
