"""Build a model from its card, with random or trained weights."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError
from ocrctl.models.card import card_tokenizer, feature_spec
from ocrctl.models.family import load_part
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import family_of


def build_model(card: ModelCard) -> OCRModel:
    """Build the untrained model that `card` describes.

    Raises UsageError when its architecture is unknown, PluginError when the model of a plug-in differs from its
    spec.
    """
    classes = card_tokenizer(card).num_classes if card.task == "recognition" else 0
    family = family_of(card.arch)
    model: OCRModel = load_part(family.build)(card, classes)
    spec = feature_spec(card)
    if card.kept is not None and isinstance(model, OCRModel):
        model.kept = card.kept
        model.columns_per_step = spec.stride_w if spec.tokenizer == "ctc" else 0
        model.lost_steps = spec.lost_steps
    if family.plugin is not None:
        from ocrctl.models.plugin_check import check_model

        check_model(model, card, classes, family)
    return model


def build_trained(card: ModelCard, weights: dict[str, Tensor], where: Path) -> OCRModel:
    """Build the model of `card` with `weights`, both from the file `where`, in evaluation mode. Raises InputError when
    they do not belong together, as in a file assembled by hand."""
    try:
        model = build_model(card)
    except InputError as error:
        raise InputError(f"{where}: {error.message}", hint=error.hint) from error
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    held = {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted(own.keys() | held.keys()):
        if own.get(name) != held.get(name):
            raise InputError(
                f"{where}: its card says {card.arch} with {len(card.charset)} characters, which needs {name} of shape "
                f"{own.get(name, 'none')}; its weights hold {held.get(name, 'none')}.",
                hint="use the checkpoint as its run wrote it",
            )
    model.load_state_dict(weights)
    return model.eval()
