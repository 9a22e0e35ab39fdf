"""Whether depthwise-separable convolutions stall where ordinary ones learn, and what cures it: equal samples, one
thread.

    python benchmarks/depthwise_stall.py [NAME...] [--steps N] [--cache FILE]

Every variant is trained on the same words of synth:words (32x100, lower case and digits, 2 to 6 characters, a fifth of
the strength of the degradations), 32 at a time in the same order, and reads the same 500 unseen words as training goes
on. A row: samples, mean loss since the last row, share of words read, character error rate, share of empty
predictions, the deviation of the columns before the LSTM, CPU seconds. --cache keeps the rendered words.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.core.train.recognition import prepare
from ocrctl.core.train.run import load_train_settings
from ocrctl.metrics.recognition import cer, exact
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.crnn.efficient import BlockOptions, build
from ocrctl.models.layers.ctc import ctc_loss
from ocrctl.models.ocr_model import OCRModel, best_classes
from ocrctl.models.registry import get_spec
from ocrctl.training.optimizer import build_optimizer, clip

BATCH, UNSEEN, WARMUP = 32, 500, 20
SYNTH = ["synth.min_length=2", "synth.max_length=6", "synth.strength=0.2"]
MUON = TrainSettings(optimizer="muon", lr=8e-3, muon_lr=0.02, muon_momentum=0.8)
ADAMW = TrainSettings(lr=3e-3)
PLAIN = BlockOptions(residual=False, normalise=False, scaled=False)
VARIANTS: dict[str, tuple[BlockOptions | None, TrainSettings]] = {
    "crnn": (None, MUON),
    "plain": (PLAIN, MUON),
    "scaled": (BlockOptions(residual=False, normalise=False), MUON),
    "normalised": (BlockOptions(residual=False, scaled=False), MUON),
    "default": (BlockOptions(), MUON),
    "linear": (BlockOptions(last=False), MUON),
    "expanded": (BlockOptions(last=False, expansion=2), MUON),
    "crnn adamw": (None, ADAMW),
    "plain adamw": (PLAIN, ADAMW),
    "default adamw": (BlockOptions(), ADAMW),
    "crnn adamw 1e-3": (None, TrainSettings(lr=1e-3)),
    "default adamw 1e-3": (BlockOptions(), TrainSettings(lr=1e-3)),
    "default adamw 8e-3": (BlockOptions(), TrainSettings(lr=8e-3)),
}


def words(samples: int, cache: Path | None) -> tuple[ModelCard, Tensor, list[str]]:
    """The card of crnn-tiny, images (N, 1, 32, 100) and texts: `samples` of the training stream, then UNSEEN others."""
    settings = load_train_settings(
        ["quickstart"], ["data.val=synth:words", f"data.max_val_samples={UNSEEN}", *SYNTH], {}
    )
    data = prepare(settings, get_spec("crnn-tiny"), lambda line: None)
    if cache and cache.exists():
        held = np.load(cache)
        images, texts = held["images"], [str(text) for text in held["texts"]]
    else:
        drawn = [data.samples.sample(n) for n in range(samples)]
        unseen = data.validation_arrays()
        images = np.stack([*(image for image, _ in drawn), *(views[0] for views in unseen[0])])  # upright
        texts = [*(text for _, text in drawn), *unseen[1]]
        if cache:
            np.savez_compressed(cache, images=images, texts=np.array(texts))
    return data.card, torch.from_numpy(images).permute(0, 3, 1, 2), texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--every", type=int, default=50, help="steps between rows")
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    card, images, texts = words(args.steps * BATCH, args.cache)
    for name in args.names or VARIANTS:
        options, train = VARIANTS[name]
        torch.manual_seed(0)
        if options is None:
            model = build_model(card)
        else:
            classes = len(card.charset) + 1
            model = build(ModelCard(**{**card.__dict__, "arch": "efficient-crnn-tiny"}), classes, options)
        print(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
        learn(model, train, card, images, texts, args.steps, args.every, lambda row: print(row, flush=True))


def learn(
    model: OCRModel, train: TrainSettings, card: ModelCard, images: Tensor, texts: list[str], steps: int, every: int,
    report: Callable[[str], None],
) -> None:  # fmt: skip
    tokenizer = card_tokenizer(card)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer, losses, seconds = build_optimizer(model, train), [], 0.0
    rates = [group["lr"] for group in optimizer.param_groups]
    for step in range(steps):
        start = time.process_time()
        share = min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * share
        rows = slice(step * BATCH, (step + 1) * BATCH)
        encoded = [tokenizer.encode(text) for text in texts[rows]]
        lengths = torch.tensor([len(one) for one in encoded])
        labels = torch.tensor([one + [0] * (int(lengths.max()) - len(one)) for one in encoded])
        loss = ctc_loss(model(images[rows])["logits"], labels, lengths)
        optimizer.zero_grad()
        loss.backward()
        clip(list(model.parameters()), train.clip_norm, None)
        optimizer.step()
        losses.append(loss.item())
        seconds += time.process_time() - start
        if (step + 1) % every == 0:
            report(f"{(step + 1) * BATCH}\t{np.mean(losses):.3f}\t{score(model, card, images, texts)}\t{seconds:.0f}")
            losses = []


def score(model: OCRModel, card: ModelCard, images: Tensor, texts: list[str]) -> str:
    tokenizer, truths = card_tokenizer(card), texts[-UNSEEN:]
    model.eval()
    with torch.inference_mode():
        normalised = model.normalise(images[-UNSEEN:])
        spread = float(model.encoder(normalised).std(0).mean())
        ids, probabilities = best_classes(model(images[-UNSEEN:])["logits"])
    model.train()
    read = [text for text, _ in tokenizer.decode(ids.numpy(), probabilities.numpy())]
    empty = np.mean([not one for one in read])
    return f"{exact(truths, read):.1%}\t{cer(truths, read):.1%}\t{empty:.1%}\t{spread:.2g}"


if __name__ == "__main__":
    main()
