"""Every family of recognisers as ONNX: batch and width free, the logits and the strings of PyTorch.

Models are untrained, with fewer layers and shorter texts than their size has, for the exporter's time.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.export.onnx import to_onnx
from ocrctl.export.parity import differences
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import get_spec, specs

CHARS = "abcdefgh"
WIDTH = 24  # pixels of an input of fixed size: an LSTM is traced step by step
LONGEST = 3  # characters of an autoregressive model
KEPT = {"satrn-tiny", "true2d-tiny", "ppocr-rec-tiny", "svtrv2-tiny"}
FIXED = {"crnn-tiny", "attention-crnn-tiny", "efficient-crnn-tiny", "parseq-tiny"}
QUICK = {"crnn-tiny", "attention-crnn-tiny", "efficient-crnn-tiny"}  # the others are traced for half a minute each
TOLERANCE = 1e-3  # of a logit

pytestmark = pytest.mark.usefixtures("shallow_models")


def test_the_list_has_every_family() -> None:
    families = {spec.family for spec in specs().values() if spec.task == "recognition"}
    assert {get_spec(arch).family for arch in KEPT | FIXED} == families
    assert all("keep" in get_spec(arch).resizes for arch in KEPT)


def _card(arch: str) -> ModelCard:
    spec = get_spec(arch).with_resize("keep" if arch in KEPT else "stretch")
    kept = spec.kept if arch in KEPT else None
    if kept is None and arch != "parseq-tiny":
        spec = spec.at_width(WIDTH)
    longest = LONGEST if spec.generates else 25
    width = kept.max_width if kept else spec.input_width
    return ModelCard(arch, "recognition", CHARS, spec.input_height, width, spec.channels, longest,
                     preprocessing=spec.resize, kept=kept)  # fmt: skip


def _images(card: ModelCard, count: int, width: int, seed: int) -> Tensor:
    coarse = torch.rand(count, card.channels, 4, 8, generator=torch.Generator().manual_seed(seed))
    return (255 * F.interpolate(coarse, (card.height, width))).to(torch.uint8)


@torch.no_grad()
def _differing(card: ModelCard) -> OCRModel:
    """An untrained model whose texts differ: statistics and classes of these images, and what a decoder reads from the
    image outweighs what it read before."""
    torch.manual_seed(0)
    model = build_model(card).eval()
    given = _images(card, 8, card.example_width, seed=9)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    model.encoder.train()
    model.encode(model.normalise(given))
    model.eval()
    for name, weight in model.named_parameters():
        if ".cross_attn.out" in name or (name in model.class_tensors and weight.ndim == 2 and "embed" not in name):
            weight.mul_(20)
    norm, features = getattr(model.encoder, "norm", None), []
    if isinstance(norm, nn.LayerNorm):
        with norm.register_forward_hook(lambda module, inputs, output: features.append(output)):
            model(given)
        found = features[0].flatten(0, -2)  # (cells, D)
        norm.weight.div_(found.std(0))
        norm.bias.copy_((norm.bias - found.mean(0)) / found.std(0))
    bias = next(weight for name, weight in model.named_parameters() if name in model.class_tensors and weight.ndim == 1)
    bias -= model(given)["logits"].mean((0, 1))
    return model


@pytest.mark.parametrize(
    "arch", [pytest.param(arch, marks=() if arch in QUICK else pytest.mark.slow) for arch in sorted(KEPT | FIXED)]
)
def test_the_graph_gives_logits_and_strings_of_the_model(arch: str) -> None:
    card = _card(arch)
    model, tokenizer = _differing(card), card_tokenizer(card)
    proto = to_onnx(model, card)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    texts = []
    for batch, share in ((1, 1.0), (3, 1.0), (3, 0.5), (5, 1.5)) if card.kept else ((1, 1), (3, 1), (5, 1)):
        width = card.example_width if card.kept is None else card.kept.batch_width(int(share * card.example_width))
        images = _images(card, batch, width, seed=batch)
        widths = None if card.kept is None else width // torch.arange(1, batch + 1)
        with torch.inference_mode():
            ours = (model(images) if widths is None else model(images, widths=widths))["logits"].numpy()
        named = {"images": images.numpy()} | ({} if widths is None else {"widths": widths.numpy()})
        (theirs,) = session.run(["logits"], named)
        assert ours.shape == theirs.shape
        assert differences(ours, theirs)[1] < TOLERANCE
        mine, other = ([text for text, _ in tokenizer.decode(np.argmax(logits, axis=2))] for logits in (ours, theirs))
        assert mine == other
        texts += mine
    assert len(set(texts)) > 3, "texts differ, or equality would say little"
