"""attention-crnn: the weights that `step_attention` returns are those that the last block attends with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ocrctl.config.model_card import recognition_card
from ocrctl.models.build import build_model
from ocrctl.models.crnn import attention
from ocrctl.models.crnn.attention import AttentionCRNN
from ocrctl.models.layers.attention import attend, attention_weights
from ocrctl.models.registry import get_spec

WIDTHS = torch.tensor([13, 64, 121, 40])


def make(resize: str = "stretch") -> AttentionCRNN:
    spec = get_spec("attention-crnn-tiny").with_resize("keep" if resize == "keep" else "stretch")
    torch.manual_seed(0)
    model = build_model(recognition_card(spec, "abcdef")).eval()
    assert isinstance(model, AttentionCRNN)
    with torch.no_grad():
        for block in model.decoder.blocks:
            block.qkv.weight.mul_(3)
    return model


def pictures(count: int, width: int) -> Tensor:
    return torch.randint(0, 256, (count, 1, 32, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("masked", [False, True])
def test_weights_are_those_of_the_attention(masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(3, 2, length, 8, generator=generator) for length in (5, 7, 7))
    mask = torch.rand(3, 1, 5, 7, generator=generator) > 0.5 if masked else None
    if mask is not None:
        mask[..., 0] = True
    torch.testing.assert_close(attention_weights(queries, keys, mask) @ values, attend(queries, keys, values, mask))


@pytest.mark.parametrize("widths", [None, WIDTHS])
def test_the_last_block_attends_with_the_weights(widths: Tensor | None, monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = make("stretch" if widths is None else "keep"), pictures(4, 124)
    calls: list[tuple[Tensor, Tensor, Tensor | None]] = []  # queries, keys and mask of each block

    def recorded(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        calls.append((queries, keys, mask))
        return attend(queries, keys, values, mask)

    monkeypatch.setattr(attention, "attend", recorded)
    with torch.inference_mode():
        model(given, widths=widths)
        found = model.step_attention(given, widths)
    assert len(model.decoder.blocks) == 2 and found.shape == (4, 31, 1, 31)
    torch.testing.assert_close(found[:, :, 0], attention_weights(*calls[1]).mean(1))
    assert found.amax(3).max() > 2 / 31 and (calls[1][2] is None) == (widths is None)


def test_no_step_attends_to_padding() -> None:
    model, given = make("keep"), pictures(4, 124)
    with torch.inference_mode():
        found = model.step_attention(given, WIDTHS)
        for row, width in enumerate(WIDTHS.tolist()):
            columns = -(-width // 4)
            assert not found[row, :, :, columns:].any()
            torch.testing.assert_close(found[row].sum((1, 2)), torch.ones(31))
            filled = given[row : row + 1].clone()
            filled[..., width:] = 255
            torch.testing.assert_close(model.step_attention(filled, WIDTHS[row : row + 1])[0], found[row])
