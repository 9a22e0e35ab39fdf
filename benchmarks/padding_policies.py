"""Accuracy and cost of the ways to pad words for a PP-OCRv6 recogniser.

    python benchmarks/padding_policies.py CKPT SPEC... [--policy NAME...]

CKPT is a checkpoint that keeps the aspect ratio (`ocrctl model import`, `ocrctl model cut`). One thread, PyTorch. Each
policy reads every word in batches of equal width, so that a batch changes nothing, and prints exact and 36-character
accuracy in percent and CPU milliseconds a word.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ocrctl.data.formats.spec import open_source
from ocrctl.data.images.decode import decode
from ocrctl.data.images.resize_word import resize_kept
from ocrctl.metrics.recognition import PROTOCOLS
from ocrctl.models.build import build_trained
from ocrctl.models.card import card_tokenizer
from ocrctl.models.checkpoint import load_checkpoint

BATCH = 24


@dataclass(frozen=True)
class Policy:
    """Columns computed for an image of `width`: max(width + margin, pad_to). weighted_to: columns that means and
    attention count in all; None: the network as it is published, without a column that stands for padding."""

    margin: int = 0
    pad_to: int = 0
    weighted_to: int | None = None


POLICIES = {
    "padded to 320, as published": Policy(pad_to=320),
    "tight": Policy(),
    "tight, 16 more": Policy(margin=16),
    "padding has no weight": Policy(margin=12, weighted_to=0),
    "one column, no margin": Policy(weighted_to=320),
    "one column, margin 8": Policy(margin=8, weighted_to=320),
    "one column, margin 12": Policy(margin=12, weighted_to=320),
    "one column, margin 16": Policy(margin=16, weighted_to=320),
    "one column, margin 32": Policy(margin=32, weighted_to=320),
    "one column, 480": Policy(margin=16, weighted_to=480),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("specs", nargs="+")
    parser.add_argument("--policy", nargs="+", choices=POLICIES, default=list(POLICIES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    card, weights = load_checkpoint(arguments.model)
    assert card.kept is not None, "the model does not keep the aspect ratio"
    tokenizer = card_tokenizer(card)
    for spec in arguments.specs:
        source = open_source(spec)
        images = [
            resize_kept(decode(source.image_bytes(at), source.where(at)), card.height, card.kept, card.channels)
            for at in range(len(source))
        ]
        labels = list(source.labels)
        for name in arguments.policy:
            policy = POLICIES[name]
            kept = replace(card.kept, margin=policy.margin, pad_to=0, weighted_to=policy.weighted_to or 0)
            model = build_trained(replace(card, kept=kept), weights, arguments.model)
            read, started = [""] * len(images), time.process_time()
            for rows in of_equal_width(images):
                width = images[rows[0]].shape[1]
                columns = -(-max(width + policy.margin, policy.pad_to) // 8) * 8
                batch = np.zeros((len(rows), card.height, columns, card.channels), np.uint8)
                batch[:, :, :width] = np.stack([images[row] for row in rows])
                pixels = torch.from_numpy(batch).permute(0, 3, 1, 2)
                with torch.inference_mode():
                    if policy.weighted_to is None:  # the network itself, padding 0 after normalisation
                        normalised = model.normalise(pixels)
                        normalised[..., width:] = 0
                        logits = model.head(model.decoder(model.encoder(normalised)))["logits"]
                    else:
                        logits = model(pixels, widths=torch.full((len(rows),), width))["logits"]
                for row, (text, _) in zip(rows, tokenizer.decode(logits.argmax(2).numpy()), strict=True):
                    read[row] = text
            cost = (time.process_time() - started) / len(images) * 1000
            scores = [
                100 * np.mean([protocol(a) == protocol(b) for a, b in zip(read, labels, strict=True)])
                for protocol in (PROTOCOLS["exact"], PROTOCOLS["str36"])
            ]
            print(f"{spec}\t{name}\texact {scores[0]:.2f}\tstr36 {scores[1]:.2f}\t{cost:.1f} ms", flush=True)


def of_equal_width(images: list[np.ndarray]) -> list[list[int]]:
    """Indices of images of one width, at most BATCH together."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        groups[image.shape[1]].append(index)
    return [rows[at : at + BATCH] for rows in groups.values() for at in range(0, len(rows), BATCH)]


if __name__ == "__main__":
    main()
