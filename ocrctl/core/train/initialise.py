"""Initialise a model from a checkpoint or from published weights (`--from`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError
from ocrctl.inference.locate import locate
from ocrctl.models.checkpoint import load_initial
from ocrctl.models.class_rows import rows_by_character, shared_rows
from ocrctl.models.finite import refuse_not_finite_outputs

if TYPE_CHECKING:
    from ocrctl.models.ocr_model import OCRModel


def initialise(model: OCRModel, card: ModelCard, init: str) -> str:
    """Copy weights into `model`; class weights are matched by character. Returns a line for the log.

    Raises InputError for an ONNX file that does not keep the weights by name, and when sizes differ or outputs are
    not finite.
    """
    found = locate(init)
    source, given, weights = load_initial(found.path)
    charset = given.charset
    own = model.state_dict()
    shared = "same charset"
    if charset != card.charset:
        pairs = shared_rows(card.charset, charset)
        for name in model.class_tensors:
            if name in weights and weights[name].shape[1:] == own[name].shape[1:]:
                weights[name] = rows_by_character(own[name], weights[name], pairs, len(charset))
        shared = f"{len(pairs)} of {len(card.charset)} characters keep their weights"
    model.adapt_to_size(weights)
    wrong = sorted(name for name in own if name not in weights or weights[name].shape != own[name].shape)
    if wrong:
        raise InputError(
            f"{found.path} holds {source}, whose weights do not fit {card.arch} (first difference: {wrong[0]})."
        )
    model.load_state_dict(weights)
    refuse_not_finite_outputs(model, card, found.path)
    resized = "" if given.preprocessing == card.preprocessing else f", trained with model.resize={given.preprocessing}"
    return f"from: {found.path} ({source}, {shared}{resized})"
