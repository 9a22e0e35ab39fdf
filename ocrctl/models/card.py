"""Read model cards and check them against the spec of their architecture. Torch-free."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ocrctl.config.card_rules import should_be
from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.plugins import missing_plugin
from ocrctl.errors import InputError, UsageError
from ocrctl.models.registry import get_spec, specs
from ocrctl.text.charset import Charset
from ocrctl.text.tokenizer import Tokenizer, make_tokenizer

DECODINGS = {"ar": "character by character", "nar": "all at once"}  # of an autoregressive model


def read_card(text: str, where: str, *, known: bool = True) -> ModelCard:
    """Parse the card in `text`, from the file `where`.

    known: whether its architecture must be known. Raises InputError when the card is damaged, contradicts the spec of
    its architecture, or names one that this version does not have; UsageError that names the missing plug-in when the
    architecture comes from one: a file never loads a plug-in.
    """
    card = ModelCard.from_json(text, where)
    spec = specs().get(card.arch)
    if spec is None and known:
        if card.plugin:
            raise missing_plugin(f"{where}: its architecture {card.arch[:80]!r}", card.plugin)
        try:
            get_spec(card.arch)
        except UsageError as error:
            raise InputError(f"{where}: {error.message}", hint="upgrade with: pip install -U ocrctl") from error
    problem = _against(card, spec) if spec is not None else None
    if problem is not None:
        raise InputError(f"{where}: the model card is damaged: {problem}.", hint="use the file as its run wrote it")
    return card


def card_tokenizer(card: ModelCard) -> Tokenizer:
    """Create the tokenizer of the recogniser that `card` describes.

    Raises UsageError when its architecture is unknown, InputError when it is a detector or its charset is damaged.
    """
    kind = get_spec(card.arch).tokenizer
    if kind is None:
        raise InputError(f"{card.arch}: a detector has no tokenizer.")
    try:
        charset = Charset(card.charset)
    except UsageError as error:
        raise InputError(f"{card.arch}: the charset of its card is damaged: {error.message}") from error
    return make_tokenizer(kind, charset, card.max_label_length)


def feature_spec(card: ModelCard) -> ModelSpec:
    """Return the spec of the architecture of `card` with its backbone and strides; sizes of images are the defaults.
    Raises UsageError when the architecture is unknown or does not support them."""
    spec = get_spec(card.arch, plugin=card.plugin)
    return spec.with_features(card.model.get("backbone", "auto"), card.model.get("strides"))


def card_spec(card: ModelCard) -> ModelSpec:
    """Return the spec of the model that `card` describes: its features, its way of resizing, its width and its
    padding. Raises UsageError when the architecture is unknown."""
    spec = feature_spec(card)
    return spec if spec.task == "detection" else _at_card_width(spec, card)


def _at_card_width(spec: ModelSpec, card: ModelCard) -> ModelSpec:
    spec = spec.with_resize("keep" if card.kept else "stretch").at_width(card.width)
    return replace(spec, kept=card.kept) if card.kept else spec


def _against(card: ModelCard, spec: ModelSpec) -> str | None:
    """Return what in `card` contradicts the spec of its architecture; None if nothing does."""
    if card.task != spec.task:
        return should_be("task", f"'{spec.task}', as {spec.name} is for", card.task)
    if spec.task == "detection":
        if spec.backbones and card.model.get("backbone") not in spec.backbones:
            return should_be("model.backbone", ", ".join(spec.backbones), card.model.get("backbone"))
        return None
    decoding = card.model.get("decoding")
    if spec.generates and decoding is not None and decoding not in spec.decodings:
        return should_be("model.decoding", " or ".join(spec.decodings), decoding)
    try:
        spec = spec.with_features(card.model.get("backbone", "auto"), card.model.get("strides"))
    except UsageError as error:
        return error.message.removesuffix(".")
    if card.preprocessing not in spec.resizes:
        return should_be(
            "preprocessing", " or ".join(spec.resizes) + f", which {spec.name} supports", card.preprocessing
        )
    if card.height != spec.input_height:
        return should_be("height", f"{spec.input_height}, which {spec.name} takes", card.height)
    try:
        _at_card_width(spec, card)
    except UsageError:
        multiple = f"a multiple of {spec.stride_w} from {spec.min_width} on, which {spec.name} takes"
        return should_be("width", multiple, card.width)
    return None


def with_decoding(card: ModelCard, decoding: str | None, path: Path) -> ModelCard:
    """Return `card` with another decoding, a key of DECODINGS; None leaves it unchanged.

    Raises UsageError for an unknown decoding, for one that the architecture does not have, and for a model that is not
    autoregressive: CTC has only one.
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
    if len(spec.decodings) == 1:  # nothing to keep in a card
        return card
    return replace(card, model={**card.model, "decoding": decoding})
