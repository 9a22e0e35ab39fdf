"""What PARSeq's first weights are worth: the same samples learned from ours and from a deviation of 0.02 everywhere.

    python benchmarks/first_weights.py [--samples N] [--threads N]

PARSeq-tiny on images of 32 x 32 with one character each (synth), Muon, batches of 16; mean loss of
the last 25 steps and share of characters read, as training goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ocrctl.config.settings import TrainSettings
from ocrctl.core.train.recognition import prepare
from ocrctl.core.train.run import load_train_settings
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.parseq.loss import permuted_loss
from ocrctl.models.registry import DEFAULT_ARCH, get_spec
from ocrctl.text.tokenizer import ARTokenizer
from ocrctl.training.optimizer import build_optimizer, clip

BATCH, SIDE, REPORT = 16, 32, 25
SYNTH = ["synth.min_length=1", "synth.max_length=1", "synth.strength=0.2", "synth.random_share=0.5"]


def small(model: OCRModel) -> None:
    """0.02 everywhere but in the projections of the decoder's attention, as the authors' code starts."""
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2 and "in_proj" not in name and "patch_embed" not in name:
            nn.init.trunc_normal_(parameter, std=0.02)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=3200)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settings = load_train_settings(["quickstart"], ["arch=parseq-tiny", *SYNTH], {})
    data = prepare(settings, get_spec(settings.arch or DEFAULT_ARCH, settings.model.width), lambda line: None)
    drawn = [data.samples.sample(n) for n in range(args.samples)]
    images = torch.from_numpy(np.stack([image[:, :: image.shape[1] // SIDE] for image, _ in drawn])).permute(0, 3, 1, 2)
    card = replace(data.card, width=SIDE)
    tokenizer = card_tokenizer(card)
    assert isinstance(tokenizer, ARTokenizer)
    labels = torch.tensor([tokenizer.encode(text) for _, text in drawn])
    for name, change in (("ours", None), ("0.02", small)):
        torch.manual_seed(0)
        model = build_model(card).train()
        if change:
            change(model)
        train = TrainSettings(optimizer="muon", lr=1e-3, muon_lr=0.002)
        optimizer = build_optimizer(model, train)
        losses, right = [], []
        for step in range(args.samples // BATCH):
            for group in optimizer.param_groups:
                group["lr"] = train.lr * group["share"] * min(1.0, (step + 1) / 20)
            rows = slice(step * BATCH, (step + 1) * BATCH)
            logits = model(images[rows], labels[rows])["logits"]
            loss = permuted_loss(logits, labels[rows], ends=tokenizer.eos, pad=logits.shape[-1] + 1)
            optimizer.zero_grad()
            loss.backward()
            clip(list(model.parameters()), train.clip_norm, None)
            optimizer.step()
            losses.append(loss.item())
            right.append((logits[:, 0, 0].argmax(-1) == labels[rows, 1]).float().mean().item())
            if (step + 1) % REPORT == 0:
                print(f"{name}: {(step + 1) * BATCH} samples, loss {np.mean(losses):.3f}, read {np.mean(right):.1%}")
                losses, right = [], []


if __name__ == "__main__":
    main()
