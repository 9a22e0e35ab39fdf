"""The card that travels inside a model reads back as written, and refuses what it does not know."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from ocrctl.config.card_ngram import CardNgram
from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import output_steps
from ocrctl.config.settings import ModelSettings
from ocrctl.errors import InputError, UsageError
from ocrctl.models.card import read_card
from ocrctl.models.registry import get_spec, specs

CARD = ModelCard("crnn-tiny", "recognition", "ab가", 32, 100, 1, 25, thresholds={"t": 0.3}, model={"dropout": 0.1})


def test_round_trip() -> None:
    assert ModelCard.from_json(CARD.to_json()) == CARD
    card = replace(CARD, ngram=CardNgram(({"caf\u00e9": 2}, "english"), 0.3))
    assert ModelCard.from_json(card.to_json()) == card and card.ngram is not None
    assert card.ngram.describe() == "1 text and english" and "ngram" not in CARD.to_json()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not JSON"),
        ("[]", "should be a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"arch": "x"}', "incomplete"),
        ('{"color": 1}', "unknown fields color"),
    ],
)
def test_a_broken_card_is_named(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ModelCard.from_json(text, "m.onnx")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("arch", None, "arch should be a string, found None"),
        ("charset", 12, "charset should be a string, found 12"),
        ("charset", "", "charset should be set for a recogniser"),
        ("height", 0, "height should be an integer from 1"),
        ("height", "32", "height should be an integer"),
        ("height", 33, "height should be 32, which crnn-tiny takes"),
        ("height", True, "height should be an integer"),
        ("width", 1 << 40, "width should be an integer"),
        ("width", 101, "width should be a multiple of 4"),
        ("channels", 2, "channels should be 1 or 3"),
        ("mean", "x", "mean should be a finite number"),
        ("mean", float("nan"), "mean should be a finite number"),
        ("mean", [0.1, 0.2], "mean should be one number or 1"),
        ("std", 0, "std should be greater than 0"),
        ("std", [], "std should be a finite number"),
        ("task", "detection", "task should be 'recognition'"),
        ("thresholds", {"t": float("inf")}, "thresholds should be names with finite numbers"),
        ("thresholds", [], "thresholds should be names"),
        ("model", None, "model should be an object"),
        ("model", {"dropout": "x"}, "model.dropout should be a number"),
        ("model", {"refine": 10**6}, "model.refine should be an integer"),
        ("model", {"side": 2.5}, "model.side should be an integer"),
        ("ngram", {"sources": [], "weight": 0.3}, "ngram should be the texts and the weight"),
        ("ngram", {"sources": ["dutch"], "weight": 0.3}, "ngram should be the texts"),
        ("ngram", {"sources": [{"a": 0}], "weight": 0.3}, "ngram should be the texts"),
        ("ngram", {"sources": [{"a": 10**10}], "weight": 0.3}, "ngram should be the texts"),
        ("ngram", {"sources": ["english", "english"], "weight": 0.3}, "ngram should be the texts"),
        ("ngram", {"sources": [{"a" * 3_000_000: 1}], "weight": 0.3}, "ngram should be the texts"),
        ("ngram", {"sources": [{"a": 1}], "weight": float("nan")}, "ngram should be the texts"),
        ("ngram", {"sources": [{"a": 1}], "weight": 0.3, "order": 4}, "ngram should be the texts"),
    ],
)
def test_a_value_that_no_model_has_is_named(name: str, value: object, said: str) -> None:
    text = json.dumps({**asdict(CARD), name: value})
    with pytest.raises(InputError, match="m.onnx: the model card is damaged: ") as caught:
        read_card(text, "m.onnx")
    assert said in caught.value.message and len(caught.value.message) < 300


def recogniser_card(spec: ModelSpec, charset: str) -> ModelCard:
    return ModelCard(
        spec.name, spec.task, charset, spec.input_height, spec.input_width, spec.channels, spec.max_label_length,
        preprocessing=spec.resize, kept=spec.kept if spec.keeps_aspect else None,
    )  # fmt: skip


def test_the_card_of_every_architecture_is_accepted() -> None:
    for spec in specs().values():
        if spec.task == "detection":
            card = detection_card(spec, ModelSettings())
        else:
            card = recogniser_card(spec, "ab")
        assert read_card(card.to_json(), "m.ckpt") == card


def test_checking_a_card_needs_no_pydantic() -> None:
    code = (
        "import sys; from ocrctl.models.card import read_card; "
        f"read_card({CARD.to_json()!r}, ''); assert not {{'pydantic', 'pydantic_core'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_architecture_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="Unknown architecture 'crn'. Did you mean 'crnn'"):
        get_spec("crn")


@pytest.mark.parametrize("name", sorted(name for name, spec in specs().items() if spec.task == "recognition"))
def test_the_spec_agrees_with_the_model_that_is_built(name: str) -> None:
    import torch

    from ocrctl.models.build import build_model
    from ocrctl.text.charset import Charset

    spec = get_spec(name)
    charset = Charset.load(spec.default_charset)
    card = recogniser_card(spec, charset.chars)
    model = build_model(card).eval()
    steps, classes = output_steps(spec), len(charset) + 1
    width = card.kept.batch_width(card.width) if card.kept else card.width
    images = torch.zeros(2, spec.channels, spec.input_height, width, dtype=torch.uint8)
    if card.kept is None:
        assert model(images)["logits"].shape == (2, steps + spec.lost_steps, classes)  # the lost ones are blanks
        return
    widths = torch.full((2,), card.width)
    logits = model(images, widths=widths)["logits"]
    assert model.steps_of(widths).tolist() == [steps] * 2
    assert len(logits) == 2 and logits.shape[1] >= steps and logits.shape[2] == classes  # further steps are blanks
