"""The card that travels inside a model reads back as written, and refuses what it does not know."""

from __future__ import annotations

import pytest

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import SPECS, get_spec
from ocrctl.errors import InputError, UsageError

CARD = ModelCard(
    "crnn-tiny", "recognition", "ab가", 32, 100, 1, 25, "ctc", thresholds={"t": 0.3}, model={"dropout": 0.1}
)


def test_round_trip() -> None:
    assert ModelCard.from_json(CARD.to_json()) == CARD


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not JSON"),
        ("[]", "unknown fields"),
        ('{"arch": "x"}', "incomplete"),
        ('{"color": 1}', "unknown fields color"),
    ],
)
def test_a_broken_card_is_named(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ModelCard.from_json(text, "m.onnx")


def test_unknown_architecture_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="Unknown architecture 'crn'. Did you mean 'crnn'"):
        get_spec("crn")


@pytest.mark.parametrize("name", sorted(name for name, spec in SPECS.items() if spec.task == "recognition"))
def test_the_spec_agrees_with_the_model_that_is_built(name: str) -> None:
    import torch

    from ocrctl.models.build import build_model
    from ocrctl.text.charset import Charset

    spec = get_spec(name)
    charset = Charset.load(spec.default_charset)
    card = ModelCard(name, spec.task, charset.chars, spec.input_height, spec.input_width, spec.channels,
                     spec.max_label_length, "ctc")  # fmt: skip
    images = torch.zeros(2, spec.channels, spec.input_height, spec.input_width, dtype=torch.uint8)
    logits = build_model(card).eval()(images)["logits"]
    assert logits.shape == (2, spec.output_steps(), len(charset) + 1)
