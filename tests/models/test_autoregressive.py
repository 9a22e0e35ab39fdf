"""Every autoregressive recogniser with a feature map: cache, batches, padding, what is refused, learning."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import UsageError
from ocrctl.models.autoregressive import FeatureMapModel
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.layers.columns import column_mask
from ocrctl.models.layers.text_decoder import IncrementalText
from ocrctl.models.registry import get_spec, specs

CHARS = "abcdef"
EOS, BOS, PAD = 0, 7, 8
TINY = ["satrn-tiny", "true2d-tiny"]
WIDTHS = (13, 64, 121, 40)


def make(arch: str, *, longest: int = 8, resize: str = "stretch", chars: str = CHARS) -> FeatureMapModel:
    """An untrained model whose statistics and texts vary from image to image."""
    spec = get_spec(arch).with_resize("keep" if resize == "keep" else "stretch")
    card = ModelCard(arch, "recognition", chars, spec.input_height, spec.input_width, spec.channels, longest,
                     preprocessing=spec.resize, kept=spec.kept if resize == "keep" else None)  # fmt: skip
    torch.manual_seed(0)
    model = build_model(card).eval()
    assert isinstance(model, FeatureMapModel)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean, std=0.3)
                nn.init.normal_(part.bias, std=0.3)
        model.head.weight.mul_(20)
    return model


def sharpen(model: FeatureMapModel) -> FeatureMapModel:
    """Let texts depend on the image and on their characters, so that a wrong cache or a wrong row shows."""
    with torch.no_grad():
        for layer in model.decoder.decoder_layers:
            for name, weight in layer.named_parameters():
                if weight.ndim > 1 and not weight.any():  # offsets and weights of sampling points start at zero
                    nn.init.normal_(weight, std=0.2)
                elif weight.ndim > 1:
                    weight.mul_(8 if name.startswith("cross_attn") else 6)
    return model


WORDS = ["abc", "fed", "a"]


@cache
def learned(arch: str) -> FeatureMapModel:
    """A model that has learned to read WORDS from the first three images."""
    torch.manual_seed(0)
    model, given, labels = build_model(_card(arch)).train(), images(arch, 3), targets(*WORDS)
    assert isinstance(model, FeatureMapModel)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        logits = model(given, labels)["logits"]
        F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=PAD).backward()
        optimizer.step()
    return model.eval()


def images(arch: str, count: int, width: int | None = None) -> Tensor:
    spec = get_spec(arch)
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, spec.channels, 4, 8, generator=generator)
    return (255 * F.interpolate(coarse, (spec.input_height, width or spec.input_width))).to(torch.uint8)


def targets(*labels: str) -> Tensor:
    rows = [[BOS, *(CHARS.index(char) + 1 for char in label), EOS] for label in labels]
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def test_the_list_is_complete() -> None:
    built = [name for name, spec in specs().items() if spec.generates and name.endswith("-tiny")]
    found = [name for name in built if isinstance(build_model(_card(name)), FeatureMapModel)]
    assert found == TINY


def _card(name: str) -> ModelCard:
    spec = get_spec(name)
    return ModelCard(name, "recognition", CHARS, spec.input_height, spec.input_width, spec.channels, 8)


@pytest.mark.parametrize("arch", TINY)
def test_teacher_forcing_and_the_cache_give_the_same(arch: str) -> None:
    model, given = learned(arch), images(arch, 8)
    with torch.inference_mode():
        logits = model.generate(given)["logits"]
        ids = logits.argmax(2)
        assert logits.shape == (8, 9, 7) and len({tuple(row) for row in ids.tolist()}) >= 3
        for row in range(8):
            text = [int(k) for k in ids[row]]
            length = text.index(EOS) if EOS in text else 8
            forced = model(given[row : row + 1], torch.tensor([[BOS, *text[:length], EOS]]))["logits"][0]
            torch.testing.assert_close(logits[row, : length + 1], forced, rtol=1e-3, atol=1e-3)
            assert not logits[row, length + 1 :].any()


@pytest.mark.parametrize("arch", TINY)
def test_an_image_is_read_the_same_alone_and_in_a_batch(arch: str) -> None:
    model, given = learned(arch), images(arch, 8)
    sizes: list[int] = []
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        step = IncrementalText.logits
        patch.setattr(
            IncrementalText, "logits", lambda self, token, at: sizes.append(len(token)) or step(self, token, at)
        )
        together = model.generate(given)["logits"]
        assert sizes[0] == 8 and sizes == sorted(sizes, reverse=True)
        assert sizes[-1] < 8 and len(sizes) > 2  # finished rows leave the batch
        alone = torch.cat([model.generate(given[row : row + 1])["logits"] for row in range(8)])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("arch", TINY)
def test_a_beam_shares_the_image_and_reorders_the_cache(arch: str) -> None:
    """Two rows for each image; after their caches are exchanged each continues the text of the other."""
    model, given = sharpen(make(arch)), images(arch, 3)
    with torch.inference_mode():
        image = model.features(given)
        decoder = model.start(image, beam=2)
        begin = torch.full((6,), BOS)
        first = decoder.logits(begin, 0)
        torch.testing.assert_close(first[0::2], first[1::2], rtol=1e-5, atol=1e-4)
        decoder.logits(torch.tensor([1, 2] * 3), 1)
        decoder.reorder_cache(torch.tensor([1, 0, 3, 2, 5, 4]))
        found = decoder.logits(torch.full((6,), 3), 2).unflatten(0, (3, 2))
        for place, token in enumerate((2, 1)):
            context = torch.tensor([[BOS, token, 3, EOS]] * 3)
            torch.testing.assert_close(found[:, place], model(given, context)["logits"][:, 2], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("arch", TINY)
def test_beam_search_finds_what_greedy_decoding_finds(arch: str) -> None:
    model, given = learned(arch), images(arch, 5)
    with torch.inference_mode():
        greedy = model.generate(given)["logits"].argmax(2)
        for beam in (1, 3):
            found = model.generate_beam(given, beam)
            assert torch.equal(found.ids[:3, 0, : greedy.shape[1]], greedy[:3])  # what it has learned
        assert (found.scores.diff(dim=1).nan_to_num() <= 1e-6).all() and found.ids.shape[:2] == (5, beam)
    with pytest.raises(UsageError, match="a beam needs at least one text, found 0"):
        model.generate_beam(given, 0)


@pytest.mark.parametrize("arch", TINY)
def test_attention_is_a_share_of_each_cell_of_the_image(arch: str) -> None:
    model, given = make(arch, resize="keep"), images(arch, 4, 160)
    widths = torch.tensor(WIDTHS)
    ids = targets("abcd", "b", "fed", "aa")[:, 1:].clamp(max=6)
    found = model.attention(given, ids, widths=widths)
    assert found is not None and found.shape[:2] == (4, 5)
    torch.testing.assert_close(found.sum((2, 3)), torch.ones(4, 5))
    columns = found.shape[3] * widths // 160 + 1
    assert all(not found[row, :, :, int(column) :].any() for row, column in enumerate(columns))


@pytest.mark.parametrize("arch", TINY)
def test_no_character_depends_on_later_ones(arch: str) -> None:
    model, given = sharpen(make(arch)), images(arch, 1)
    with torch.inference_mode():
        before = model(given, targets("abcde"))["logits"][0]
        for place in range(1, 6):
            changed = targets("abcde")
            changed[0, place] = 6
            moved = (model(given, changed)["logits"][0] - before).abs().amax(1) > 1e-4
            assert moved.tolist() == [position >= place for position in range(6)]


@pytest.mark.parametrize("arch", TINY)
def test_padding_changes_no_output(arch: str) -> None:
    """Neither what it holds, nor how wide it is, nor whether there is any."""
    model = sharpen(make(arch, resize="keep"))
    assert model.kept is not None
    widths = torch.tensor(WIDTHS)
    given, labels = images(arch, 4, 160), targets("abcd", "b", "fed", "aa")
    with torch.inference_mode():
        forced, read = model(given, labels, widths=widths)["logits"], model(given, widths=widths)["logits"]
        filled = given.clone()
        filled[~column_mask(widths, 160)[:, None, None].expand_as(given)] = 255
        assert torch.equal(model(filled, labels, widths=widths)["logits"], forced)
        for row, width in enumerate(WIDTHS):
            one = given[row : row + 1, ..., : model.kept.batch_width(width)]
            alone = model(one, labels[row : row + 1], widths=widths[row : row + 1])["logits"][0]
            torch.testing.assert_close(forced[row], alone, rtol=1e-3, atol=1e-3)
            read_alone = model.generate(one, widths=widths[row : row + 1])["logits"][0]
            torch.testing.assert_close(read[row], read_alone, rtol=1e-3, atol=1e-3)
        whole = torch.full((4,), 160)
        without = model(given, labels)["logits"]
        torch.testing.assert_close(model(given, labels, widths=whole)["logits"], without, rtol=1e-3, atol=1e-3)
        assert not torch.allclose(without, forced, atol=1e-2)  # else the widths would mean nothing


@pytest.mark.parametrize("arch", TINY)
def test_masks_are_boolean(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ocrctl.models.layers import multi_head

    seen = []
    attend = multi_head.attend

    def watched(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, rate: float = 0.0) -> Tensor:
        if mask is not None:
            if mask.is_floating_point():  # biases, -inf for what is masked
                mask = mask > -torch.inf
                seen.append(mask.float().mean().item() < 1)
            else:
                seen.append(mask.dtype is torch.bool)
            assert mask.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2]).any(3).all()  # an empty row would be NaN
        return attend(q, k, v, mask, rate)

    monkeypatch.setattr(multi_head, "attend", watched)
    model = make(arch, resize="keep")
    model(images(arch, 4, 160), targets("abcd", "b", "fed", "aa"), widths=torch.tensor(WIDTHS))
    assert seen and all(seen)


@pytest.mark.parametrize("arch", TINY)
def test_gradient_reaches_every_weight_and_a_batch_of_one_trains(arch: str) -> None:
    spec = get_spec(arch)
    torch.manual_seed(0)
    model = build_model(replace(_card(arch), model={"dropout": 0.1})).train()
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():  # behind weights of zero there is no gradient yet
                nn.init.normal_(weight, std=0.1)
    logits = model(images(arch, 1), targets("abcabc"))["logits"]
    F.cross_entropy(logits[0], targets("abcabc")[0, 1:]).backward()
    zero = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert zero == [] and spec.lr > 0
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("arch", TINY)
def test_it_overfits_a_handful_of_images(arch: str) -> None:
    with torch.inference_mode():
        ids = learned(arch).generate(images(arch, 3))["logits"].argmax(2)
    assert [text for text, _ in card_tokenizer(_card(arch)).decode(ids.numpy())] == WORDS


@pytest.mark.parametrize("arch", TINY)
def test_wrong_calls_are_refused(arch: str) -> None:
    model = make(arch)
    with pytest.raises(UsageError, match="in training needs targets"):
        model.train()(images(arch, 1))
    model.eval()
    for named in ({"decoding": "nar"}, {"refine": 1}):
        with pytest.raises(UsageError, match="character by character only"):
            model.generate(images(arch, 1), **named)
    with pytest.raises(UsageError, match="reads 1 to 8 characters"):
        model.generate(images(arch, 1), max_length=9)
    with pytest.raises(UsageError, match="targets of 9 characters, the model reads at most 8"):
        model(images(arch, 1), targets("abcabcabc"))
    assert model.generate(images(arch, 2), max_length=3)["logits"].shape == (2, 4, 7)
