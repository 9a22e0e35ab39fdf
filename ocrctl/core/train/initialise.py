"""Initialise a model from a checkpoint or from published weights (`--from`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import ModelSettings
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.locate import locate
from ocrctl.models.checkpoint import load_initial
from ocrctl.models.class_rows import rows_by_character, shared_rows
from ocrctl.models.finite import refuse_not_finite_outputs
from ocrctl.models.registry import family_of
from ocrctl.models.weight_file import is_torch_file, read_weight_file

if TYPE_CHECKING:
    from ocrctl.models.ocr_model import OCRModel


def backbone_weights(model: ModelSettings, spec: ModelSpec) -> ModelSettings:
    """Return `model` with the file of --from as `pretrained` where it holds ImageNet weights of a backbone, with that
    backbone where none was chosen; any other `model` as it is.

    Raises UsageError when the architecture does not have this backbone, or another file is given as well.
    """
    path = Path(model.init or "")
    if not path.is_file() or not is_torch_file(path):
        return model
    from ocrctl.models.backbones.pretrained import backbone_of

    file = read_weight_file(path)
    name = None if CARD_KEY in file.metadata else backbone_of(file)
    if name is None:
        return model
    if name not in spec.backbones:
        has = f"supports {', '.join(spec.backbones)}" if spec.backbones else "has its own backbone"
        raise UsageError(f"--from {path}: holds ImageNet weights of {name}; {spec.name} {has}.")
    if model.pretrained is not None:
        raise UsageError(f"--from {path} holds weights of a backbone, and model.pretrained={model.pretrained} too.")
    if model.backbone not in ("auto", name):
        raise UsageError(
            f"--from {path}: holds ImageNet weights of {name}, model.backbone is {model.backbone}.",
            hint=f"--set model.backbone={name}",
        )
    return model.model_copy(update={"init": None, "pretrained": str(path), "backbone": name})


def check_family(init: str, spec: ModelSpec) -> None:
    """Check that the weights of --from are of the family of the architecture, before any data is read.

    Raises InputError for those of another family, and as `initialise` does for a file that holds no model.
    """
    found = locate(init)
    source, given, _ = load_initial(found.path)
    if family_of(given.arch).name != spec.family:
        raise InputError(
            f"{found.path} holds {source}, whose weights do not fit {spec.name}.",
            hint=f"train its own architecture: ocrctl train {given.arch} --from {init}",
        )


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
    model.adapt_weights(weights)
    wrong = sorted(name for name in own if name not in weights or weights[name].shape != own[name].shape)
    if wrong:
        raise InputError(
            f"{found.path} holds {source}, whose weights do not fit {card.arch} (first difference: {wrong[0]}).",
            hint=f"train its own architecture: ocrctl train {given.arch} --from {init}"
            if given.arch != card.arch
            else None,
        )
    model.load_state_dict(weights)
    refuse_not_finite_outputs(model, card, found.path)
    resized = "" if given.preprocessing == card.preprocessing else f", trained with model.resize={given.preprocessing}"
    return f"from: {found.path} ({source}, {shared}{resized})"
