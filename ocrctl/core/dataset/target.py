"""Resolve the model of `dataset validate --for MODEL`: an architecture, or a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ocrctl.data.validate.run import Target
from ocrctl.errors import UsageError
from ocrctl.models.card import card_spec
from ocrctl.models.registry import DEFAULT_ARCH, get_spec, spec_for, specs
from ocrctl.text.charset import Charset


def target_of(model: str | None, charset: str | None, profiles: Sequence[str]) -> Target | None:
    """Return the model to check the data for: an architecture, with the charset of flag, profile or the architecture,
    or a checkpoint, run folder or ONNX file, with its card.

    Raises UsageError for an unknown architecture, flags without one, and a charset for a detector or a trained model;
    InputError when a file is not a model.
    """
    if model is None:
        if charset or profiles:
            raise UsageError("--charset and --profile require --for MODEL.", hint=f"such as --for {DEFAULT_ARCH}")
        return None
    if model not in specs() and Path(model).expanduser().exists():
        return _trained(model, charset)
    from ocrctl.core.settings import load_settings  # slow import of pydantic-settings

    spec = get_spec(model)
    settings = load_settings(profiles, (), {"arch": model, "data": {"charset": charset}}, spec.task)
    if spec.task == "detection":
        if charset:
            raise UsageError(
                f"--charset: {model} is a detector and has no charset.", hint=f"such as --for {DEFAULT_ARCH}"
            )
        return Target(spec, None, (settings.page.height, settings.page.width))
    spec = spec_for(model, settings.model)
    size = spec.input_height, spec.input_width
    return Target(spec, Charset.load(settings.data.charset or spec.default_charset), size)


def _trained(model: str, charset: str | None) -> Target:
    from ocrctl.core.model.info import model_info

    card = model_info(model).card
    if charset:
        raise UsageError(f"--charset: {model} has the charset of its training.", hint="remove --charset")
    spec = replace(
        card_spec(card), input_height=card.height, input_width=card.width, channels=card.channels,
        max_label_length=card.max_label_length,
    )  # fmt: skip
    return Target(spec, Charset(card.charset) if card.charset else None, (card.height, card.width))
