"""How a trained autoregressive model reads: as its card says, unless a command asks for the other way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import UsageError
from ocrctl.models.registry import get_spec

DECODINGS = {"ar": "character by character", "nar": "all at once"}


def with_decoding(card: ModelCard, decoding: str | None, path: Path) -> ModelCard:
    """`card` reading by `decoding`; None leaves it as it is.

    Raises UsageError for an unknown way, for one that the architecture does not have, and for a model that is not
    autoregressive: CTC has one way only.
    """
    if decoding is None:
        return card
    if decoding not in DECODINGS:
        known = ", ".join(f"{name} ({what})" for name, what in DECODINGS.items())
        raise UsageError(f"decoding '{decoding}': use {known}.")
    spec = get_spec(card.arch)
    if not spec.generates:
        raise UsageError(
            f"{path}: {card.arch} does not support decoding '{decoding}': only autoregressive models have "
            "several decodings.",
            hint="leave --decoding out",
        )
    if decoding not in spec.decodings:
        raise UsageError(f"{path}: {card.arch} does not support --decoding {decoding}.", hint="leave --decoding out")
    if len(spec.decodings) == 1:  # nothing that a card needs to keep
        return card
    return replace(card, model={**card.model, "decoding": decoding})
