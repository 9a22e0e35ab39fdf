"""PARSeq under the contract of every model: names, masks, decoding, learning."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import UsageError
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.layers import autoregressive
from ocrctl.models.parseq.decoder import Decoder
from ocrctl.models.parseq.encoder import VisionTransformer
from ocrctl.models.parseq.generate import refined_logits
from ocrctl.models.parseq.incremental_decoder import IncrementalDecoder
from ocrctl.models.parseq.loss import permuted_loss
from ocrctl.models.parseq.model import PARSeq
from ocrctl.models.parseq.permutations import draw_orders
from ocrctl.models.registry import get_spec
from ocrctl.text.tokenizer import ARTokenizer

CHARS = "abcdef"
EOS, BOS, PAD = 0, 7, 8


def small(seed: int = 0, *, steps: int = 9, dropout: float = 0.0, spread: float = 1.0) -> PARSeq:
    """Two blocks of 32 features on 8x32 images, for steps - 1 characters; `spread` sharpens what it says."""
    torch.manual_seed(seed)
    model = PARSeq(
        VisionTransformer(8, 32, 3, (4, 8), dim=32, depth=2, heads=2), Decoder(32, 4, 2, dropout),
        dim=32, num_classes=7, max_label_length=steps - 1, dropout=dropout, decoding="ar", refine=1, mean=0.5, std=0.5,
    )  # fmt: skip
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and name.startswith(("head", "text_embed", "pos_queries", "decoder", "encoder.pos")):
                weight.mul_(spread)
    return model


def pictures(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 8, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def targets(*labels: str) -> torch.Tensor:
    rows = [[BOS, *(CHARS.index(char) + 1 for char in label), EOS] for label in labels]
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


@pytest.mark.parametrize(("name", "parameters"), [("parseq-tiny", 6_018_143), ("parseq", 23_832_671)])
def test_sizes_and_names_are_those_of_the_release(name: str, parameters: int) -> None:
    spec = get_spec(name)
    card = ModelCard(name, spec.task, "".join(map(chr, range(33, 127))), 32, 128, 3, 25)
    model = build_model(card)
    assert sum(p.numel() for p in model.parameters()) == parameters
    state = model.state_dict()
    dim = {"parseq-tiny": 192, "parseq": 384}[name]
    wanted = {
        "pos_queries": (1, 26, dim), "text_embed.embedding.weight": (97, dim), "head.weight": (95, dim),
        "encoder.pos_embed": (1, 128, dim), "encoder.patch_embed.proj.weight": (dim, 3, 4, 8),
        "encoder.blocks.11.attn.qkv.weight": (3 * dim, dim), "encoder.blocks.0.mlp.fc1.bias": (4 * dim,),
        "encoder.norm.weight": (dim,), "decoder.layers.0.self_attn.in_proj_weight": (3 * dim, dim),
        "decoder.layers.0.cross_attn.out_proj.bias": (dim,), "decoder.layers.0.linear1.weight": (4 * dim, dim),
        "decoder.layers.0.norm_q.weight": (dim,), "decoder.layers.0.norm_c.bias": (dim,), "decoder.norm.bias": (dim,),
    }  # fmt: skip
    assert {key: tuple(state[key].shape) for key in wanted} == wanted
    assert len(state) == 175  # nothing else is saved


def test_what_stands_in_the_padding_changes_no_output() -> None:
    model = small(spread=3.0).eval()
    labels = targets("abcdefa", "b", "fed")
    orders = draw_orders(7)
    with torch.inference_mode():
        before = model(pictures(3), labels, orders)["logits"]
        inside = (labels[:, 1:] != PAD)[:, None].expand(before.shape[:3])
        for filler in range(7):
            filled = labels.clone()
            filled[labels == PAD] = filler
            after = _with_padding(model, filled, labels, orders)
            assert (before - after)[inside].abs().max() == 0.0, filler


def _with_padding(model: PARSeq, filled: torch.Tensor, labels: torch.Tensor, orders: torch.Tensor) -> torch.Tensor:
    """The model's output when the content of hidden places comes from `filled`, the mask from `labels`."""
    embed, padding = model.embed, labels[:, :-1] == PAD

    def embed_filled(tokens: torch.Tensor, start: int = 0) -> torch.Tensor:
        return embed(torch.where(padding, filled[:, :-1], tokens), start)

    model.embed = embed_filled  # type: ignore[method-assign]
    try:
        return model(pictures(len(labels)), labels, orders)["logits"]
    finally:
        del model.embed


def test_a_label_is_learnt_the_same_alone_and_beside_longer_ones() -> None:
    """More padding behind a label changes nothing that is learnt from it."""
    model = small(spread=3.0).eval()
    images = pictures(3)
    with torch.inference_mode():
        together = model(images, targets("abcdefa", "b", "fed"))["logits"]
        alone = model(images[2:], targets("fed"))["logits"]
    torch.testing.assert_close(together[2:, :, :4], alone, rtol=1e-5, atol=1e-5)


def test_no_position_sees_itself_or_what_comes_later_in_its_order() -> None:
    model, images = small(spread=3.0).eval(), pictures(1)
    orders = draw_orders(5)
    with torch.inference_mode():
        before = model(images, targets("abcde"), orders)["logits"]
        for place in range(1, 6):
            changed = targets("abcde")
            changed[0, place] = 6
            moved = (model(images, changed, orders)["logits"] - before).abs().amax(3)[0] > 0  # (P, L)
            for order, rows in zip(orders.tolist(), moved, strict=True):
                later = {position - 1 for position in order[order.index(place) + 1 :]}
                assert set(rows.nonzero()[:, 0].tolist()) == later


def test_teacher_forcing_and_the_cached_loop_say_the_same() -> None:
    model, images = small(spread=3.0).eval(), pictures(16)
    with torch.inference_mode():
        logits = model.generate(images, refine=0)["logits"]
        ids = logits.argmax(2)
        for row in range(16):
            text = [int(k) for k in ids[row]]
            length = text.index(EOS) if EOS in text else 8
            label = torch.tensor([[BOS, *text[:length], EOS]])
            forced = model(images[row : row + 1], label)["logits"][0, 0]
            torch.testing.assert_close(logits[row, : length + 1], forced[: length + 1], rtol=1e-4, atol=1e-5)
            assert not logits[row, length + 1 :].any()


@pytest.mark.parametrize(("decoding", "refine"), list(product(["ar", "nar"], [0, 1, 3])))
def test_an_image_is_read_the_same_alone_and_in_any_batch(decoding: str, refine: int) -> None:
    model, images = small(3, spread=3.0).eval(), pictures(24)
    with torch.inference_mode():
        together = model.generate(images, decoding=decoding, refine=refine)["logits"]
        alone = torch.cat([model.generate(images[i : i + 1], decoding=decoding, refine=refine)["logits"]
                           for i in range(24)])  # fmt: skip
    assert torch.isfinite(together).all() and together.shape == (24, 9, 7)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_finished_rows_leave_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = small(3, spread=3.0).eval(), pictures(24)
    sizes: list[int] = []
    step = IncrementalDecoder.logits
    monkeypatch.setattr(
        IncrementalDecoder, "logits", lambda self, token, at: sizes.append(len(token)) or step(self, token, at)
    )
    with torch.inference_mode():
        ids = model.generate(images, refine=0)["logits"].argmax(2)
    assert sizes[0] == 24 and sizes == sorted(sizes, reverse=True) and sizes[-1] < 24
    ends = (ids == EOS).any(1)
    assert ends.any() and not ends.all()  # else the test would show nothing


@pytest.mark.parametrize("every", [2, 4, 100])
def test_looking_less_often_changes_nothing(monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    model, images = small(3, spread=3.0).eval(), pictures(24)
    with torch.inference_mode():
        before = model.generate(images, refine=0)["logits"]
        monkeypatch.setitem(autoregressive.CHECK_EVERY, "cpu", every)
        after = model.generate(images, refine=0)["logits"]
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)
    assert torch.equal(before == 0, after == 0)


def test_refinement_does_not_look_past_the_end() -> None:
    model, images = small(3, spread=3.0).eval(), pictures(8)
    with torch.inference_mode():
        picture = model.decoder.layer.image_kv(model.features(images))
        logits = torch.randn(8, 9, 7, generator=torch.Generator().manual_seed(0))
        logits[:, 3, EOS] = 100.0
        other = logits.clone()
        other[:, 4:] = torch.randn(8, 5, 7, generator=torch.Generator().manual_seed(9))
        weights = model.decoder_weights()
        before, after = (refined_logits(model, weights, picture, given) for given in (logits, other))
        assert torch.equal(before, after)


def test_copied_weights_read_the_same_and_are_dropped_when_training_goes_on() -> None:
    model, images = small(3, spread=3.0).eval(), pictures(6)
    with torch.inference_mode():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    with torch.inference_mode():

        def read() -> list[torch.Tensor]:
            texts = [model.generate(images[:count], refine=rounds)["logits"] for count in (1, 6) for rounds in (0, 1)]
            return [*texts, model.generate_beam(images, 3).scores]

        before = read()
        model.copy_weights()
        copied = model.decoder_weights()
        assert copied is model.decoder_weights()
        torch.testing.assert_close(read(), before, rtol=1e-5, atol=1e-5)
    model.train()
    assert model.decoder_weights() is not copied


def test_a_beam_of_one_is_greedy_and_a_full_beam_is_exact() -> None:
    model, images = small(5, steps=4, spread=3.0).eval(), pictures(6)
    with torch.inference_mode():
        greedy = model.generate(images, refine=0)["logits"].argmax(2)
        assert torch.equal(model.generate_beam(images, 1).ids[:, 0, :3], greedy[:, :3])
        wide = model.generate_beam(images, 400, power=0.0)
        every = ["".join(text) for n in range(4) for text in product(CHARS, repeat=n)]
        labels = targets(*every)
        for row in range(6):
            logs = model(images[row : row + 1].expand(len(every), -1, -1, -1), labels)["logits"][:, 0].log_softmax(2)
            each = logs.gather(2, labels[:, 1:, None].clamp(max=6))[..., 0] * (labels[:, 1:] != PAD)
            assert wide.scores[row, 0].item() == pytest.approx(each.sum(1).max().item(), abs=1e-4)
        assert (wide.scores[:, 0] >= model.generate_beam(images, 1, power=0.0).scores[:, 0] - 1e-5).all()


def test_a_longest_length_ends_the_reading() -> None:
    model, images = small(3, spread=3.0).eval(), pictures(4)
    with torch.inference_mode():
        assert model.generate(images, max_length=2)["logits"].shape == (4, 3, 7)
        short = model.generate(images, refine=0, max_length=2)["logits"]
        torch.testing.assert_close(short, model.generate(images, refine=0)["logits"][:, :3])


def test_wrong_calls_are_refused() -> None:
    model = small()
    with pytest.raises(UsageError, match="in training needs targets"):
        model.train()(pictures(2))
    with pytest.raises(UsageError, match="use ar .* or nar"):
        model.eval().generate(pictures(1), decoding="beam")
    with pytest.raises(UsageError, match="targets of 9 characters, the model reads at most 8"):
        model(pictures(1), targets("abcabcabc"))
    with pytest.raises(ValueError, match="at least one character, got length 0"):
        model.train()(pictures(2), targets("", ""))
    model.eval()
    for wrong in (torch.zeros(1, 3, 8, 40, dtype=torch.uint8), torch.zeros(1, 3, 16, 32, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"images of \(\d+, \d+\) have \d+ patches, not 8"):
            model.generate(wrong)
    with pytest.raises(UsageError, match="a beam needs at least one text, found 0"):
        model.generate_beam(pictures(1), 0)
    with pytest.raises(UsageError, match="reads 1 to 8 characters"):
        model.generate(pictures(1), max_length=9)
    card = ModelCard("crnn-tiny", "recognition", "abc", 32, 100, 1, 25)
    with pytest.raises(UsageError, match="a model with a BiLSTMDecoder does not support generate"):
        build_model(card).generate(torch.zeros(1, 1, 32, 100, dtype=torch.uint8))


def test_the_loss_is_the_mean_over_characters_and_over_the_ends_of_two_orders() -> None:
    labels = targets("abcde", "fa")
    logits = torch.randn(2, 6, 6, 7, generator=torch.Generator().manual_seed(0))
    total, count = 0.0, 0
    for order in range(6):
        for row, label in enumerate(labels):
            for place, wanted in enumerate(label[1:].tolist()):
                if wanted != PAD and not (wanted == EOS and order >= 2):
                    total += float(F.cross_entropy(logits[row, order, place], torch.tensor(wanted)))
                    count += 1
    assert float(permuted_loss(logits, labels, ends=EOS, pad=PAD)) == pytest.approx(total / count, rel=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert permuted_loss(logits.bfloat16(), labels, ends=EOS, pad=PAD).dtype == torch.float32


def test_gradient_reaches_every_weight_and_a_batch_of_one_trains() -> None:
    model = small(dropout=0.1).train()
    permuted_loss(model(pictures(1), targets("abcabc"))["logits"], targets("abcabc"), ends=EOS, pad=PAD).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not missing


def test_it_overfits_a_handful_of_images_and_reads_them_in_every_way() -> None:
    model, images, words = small(dropout=0.0).train(), pictures(4), ["abc", "fedcba", "a", "ccdd"]
    labels = targets(*words)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        permuted_loss(model(images, labels)["logits"], labels, ends=EOS, pad=PAD).backward()
        optimizer.step()
    card = ModelCard("parseq-tiny", "recognition", CHARS, 32, 128, 3, 8)
    tokenizer = card_tokenizer(card)
    assert isinstance(tokenizer, ARTokenizer) and (tokenizer.bos, tokenizer.pad) == (BOS, PAD)
    model.eval()
    with torch.inference_mode():
        for decoding, refine in product(["ar", "nar"], [0, 1, 2]):
            ids = model.generate(images, decoding=decoding, refine=refine)["logits"].argmax(2)
            assert [text for text, _ in tokenizer.decode(ids.numpy())] == words, (decoding, refine)
        assert [text for text, _ in tokenizer.decode(model.generate_beam(images, 3).ids[:, 0].numpy())] == words
