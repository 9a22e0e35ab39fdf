"""Widths of recognisers that keep the aspect ratio: rounding, limits, padding, and the card that holds them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ocrctl.config.kept_aspect import TALL, KeptAspect
from ocrctl.config.model_card import ModelCard, recognition_card
from ocrctl.config.output_steps import output_steps
from ocrctl.errors import InputError, UsageError
from ocrctl.models.card import card_spec, read_card
from ocrctl.models.registry import get_spec, specs

KEPT = KeptAspect(min_width=8, max_width=640, multiple=4)
SPEC = get_spec("crnn-tiny").with_resize("keep")


def card() -> ModelCard:
    return ModelCard(
        "crnn-tiny", "recognition", "ab", 32, 640, 1, SPEC.max_label_length, preprocessing="keep", kept=KEPT
    )


@pytest.mark.parametrize(
    ("height", "width", "result"),
    [(32, 100, 100), (64, 100, 50), (10, 33, 106), (32, 1, 8), (1000, 1, 8), (20, 20_000, 640), (1, 1, 32)],
)
def test_the_width_of_an_image(height: int, width: int, result: int) -> None:
    assert KEPT.width_of(height, width, 32) == result


def test_linear_scaling_rounds_the_width_down_and_padding_may_be_to_a_multiple() -> None:
    kept = replace(KEPT, linear=True, multiple=64, pad_multiple=64)
    assert [kept.width_of(10, width, 32) for width in (33, 34)] == [105, 108]
    assert [kept.counted(width) for width in (1, 64, 65)] == [64, 64, 128]
    assert KeptAspect.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept
    assert "linear should be true or false, found 1" in (replace(kept, linear=1).problem() or "")  # type: ignore[arg-type]


def test_margin_and_least_width_count() -> None:
    kept = replace(KEPT, multiple=8, margin=5, pad_to=320)
    assert [kept.counted(width) for width in (10, 314, 316, 400)] == [320, 320, 321, 405]
    assert [kept.batch_width(width) for width in (10, 316, 400)] == [320, 328, 408]


def test_tall_images_are_a_matter_of_the_card_and_of_model_tall() -> None:
    turning = SPEC.with_tall("turn")
    assert turning.kept == replace(KEPT, tall=TALL) and turning.with_tall("upright") == SPEC
    assert get_spec("ppocr-rec-small").kept.tall == TALL  # type: ignore[union-attr]
    assert get_spec("ppocr-rec-small", None, "keep", "upright").kept.tall == 0  # type: ignore[union-attr]
    kept = replace(KEPT, tall=1.5)
    assert [kept.is_tall(height, 20) for height in (29, 30)] == [False, True] and not KEPT.is_tall(90, 20)
    assert read_card(replace(card(), kept=kept).to_json(), "m.ckpt").kept == kept
    assert "tall" not in json.loads(card().to_json())["kept"]  # older versions read the card
    for tall in (1.0, -2, True, "1.5", float("nan")):
        said = replace(KEPT, tall=tall).problem() or ""  # type: ignore[arg-type]
        assert said.startswith("tall should be 0 or a ratio above 1")
    with pytest.raises(UsageError, match="model.tall=turn: requires a recogniser that keeps the aspect") as caught:
        get_spec("crnn-tiny", None, None, "turn")
    assert "model.resize=keep" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="model.tall=turn: requires"):
        get_spec("dbnet", None, None, "turn")
    assert get_spec("parseq-tiny", None, None, "upright") is get_spec("parseq-tiny")


def test_the_spec_that_keeps_the_aspect_ratio() -> None:
    assert SPEC.keeps_aspect and SPEC.input_width == 640 and SPEC.max_label_length == 160
    assert output_steps(SPEC) == 160 and output_steps(SPEC, 13) == 4
    wide = SPEC.at_width(320)
    assert wide.kept == replace(KEPT, max_width=320) and wide.max_label_length == 80
    assert get_spec("crnn-tiny").with_resize("stretch") is get_spec("crnn-tiny")


def test_an_architecture_of_one_size_says_so() -> None:
    with pytest.raises(UsageError, match="model.resize=keep: parseq-tiny supports only stretch"):
        get_spec("parseq-tiny").with_resize("keep")
    with pytest.raises(UsageError, match="model.resize=keep: pages have settings of their own"):
        get_spec("dbnet").with_resize("keep")


def test_the_card_keeps_the_widths() -> None:
    kept = card()
    assert read_card(kept.to_json(), "m.ckpt") == kept
    assert card_spec(kept) == SPEC.with_features()
    assert kept.example_width == 128
    assert "kept" not in json.loads(replace(kept, preprocessing="stretch", width=100, kept=None).to_json())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kept": None}, "kept should be set"),
        ({"preprocessing": "stretch"}, "kept should be null"),
        ({"preprocessing": "page"}, "kept should be null"),
        ({"width": 600}, "kept.max_width should be 600"),
        ({"kept": {"min_width": 8}}, "kept should be the widths"),
        ({"kept": {"min_width": 9, "max_width": 8}}, "kept should be the widths"),
        ({"kept": {"min_width": 8, "max_width": 640, "multiple": 0}}, "kept should be the widths"),
        ({"kept": {"min_width": 8, "max_width": "640"}}, "kept should be the widths"),
        ({"kept": {"min_width": 8, "max_width": 640, "margin": -1}}, "kept should be the widths"),
        ({"kept": {"min_width": 8, "max_width": 640, "colour": 1}}, "kept should be the widths"),
        ({"kept": {"min_width": 8, "max_width": 640, "buckets": [96, 64]}}, "kept should be the widths"),
        ({"kept": {"min_width": 8, "max_width": 640, "buckets": 64}}, "kept should be the widths"),
        ({"arch": "parseq-tiny", "channels": 3}, "preprocessing should be stretch, which parseq-tiny supports"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match="m.ckpt: the model card is damaged: ") as caught:
        read_card(json.dumps({**json.loads(card().to_json()), **change}), "m.ckpt")
    assert said in caught.value.message


def test_the_widths_of_every_architecture_are_valid() -> None:
    for spec in specs().values():
        assert spec.kept is None or spec.kept.problem() is None
        assert (spec.kept is not None) == ("keep" in spec.resizes)


def test_buckets_are_widths_by_rounded_aspect_ratio() -> None:
    kept = KeptAspect(min_width=64, max_width=640, multiple=4, buckets=(64, 96, 112, 128))
    sizes = [(90, 30), (10, 4), (20, 10), (100, 10), (100, 24), (100, 26), (35, 10), (45, 10), (55, 10)]
    widths = [kept.width_of(height, width, 32) for width, height in sizes]
    assert widths == [112, 96, 96, 320, 128, 128, 128, 128, 192]
    assert kept.width_of(100, 1, 32) == 64 and kept.width_of(10, 4000, 32) == 640
    card = recognition_card(replace(get_spec("crnn-tiny", resize="keep"), kept=kept, input_width=640), "abc")
    assert ModelCard.from_json(card.to_json()) == card
    assert '"buckets"' not in recognition_card(get_spec("crnn-tiny", resize="keep"), "abc").to_json()


def test_a_model_that_keeps_the_ratio_can_stretch_instead() -> None:
    spec = get_spec("svtrv2-tiny", resize="stretch")
    assert (spec.input_width, spec.max_label_length, spec.keeps_aspect) == (128, 32, False)
