"""Speed of decoding: with and without a key/value cache, beam search against greedy, CTC prefix beam search.

    python benchmarks/decoding_speed.py [--arch parseq-tiny|satrn-tiny|true2d-tiny] [--batch 64] [--rounds 5]

The encoder is left out. Figures are CPU seconds of the process, medians of paired rounds taken in turn; a ratio is the
median of the paired ratios. Texts are forced to a length by the bias of [EOS]. Without a cache, each step computes the
keys and values of all characters so far and of the image again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ocrctl.config.model_card import recognition_card
from ocrctl.inference.decoding import Decoding
from ocrctl.inference.text_decoder import TextDecoder
from ocrctl.models.autoregressive import AutoregressiveModel
from ocrctl.models.build import build_model
from ocrctl.models.layers.autoregressive import greedy_logits
from ocrctl.models.layers.beam_search import beam_search
from ocrctl.models.parseq.model import PARSeq
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import ASCII94

LENGTHS = (5, 10, 15, 20, 25)


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def paired(one: Callable[[], object], two: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, taken in turn after one call of each that does not count, and of their ratio."""
    one(), two()
    taken = [(seconds(one), seconds(two)) if turn % 2 else (seconds(two), seconds(one))[::-1] for turn in range(rounds)]
    firsts, seconds_ = zip(*taken, strict=True)
    return {
        "first_ms": round(1000 * statistics.median(firsts), 2),
        "second_ms": round(1000 * statistics.median(seconds_), 2),
        "second_over_first": round(statistics.median([b / a for a, b in taken]), 3),
    }


def report(figure: str, values: dict[str, object]) -> None:
    """Print one JSON line."""
    print(json.dumps({"figure": figure, **values}), flush=True)


def uncached(model: AutoregressiveModel, features: Any, steps: int) -> Tensor:
    """Greedy decoding that keeps nothing between steps; the ids (N, T)."""
    images = features if isinstance(features, Tensor) else features.features
    tokens = torch.full((images.shape[0], 1), model.bos)
    for step in range(steps):
        if isinstance(model, PARSeq):
            layer = model.decoder.layer
            content = layer.content_kv(model.embed(tokens))
            states = model.decoder(model.pos_queries[:, step : step + 1], content, layer.image_kv(features))
        else:
            states = model.decoder(tokens, features)[:, -1:]
        tokens = torch.cat([tokens, model.head(states).argmax(2)], dim=1)
    return tokens[:, 1:]


def autoregressive(arch: str, batch: int, rounds: int) -> None:
    """Measure an autoregressive model with random weights."""
    torch.manual_seed(0)
    spec = get_spec(arch)
    card = recognition_card(spec, ASCII94, model={"refine": 0} if spec.family == "parseq" else {})
    model = build_model(card).eval()
    if not isinstance(model, AutoregressiveModel):
        raise SystemExit(f"{arch} is not autoregressive")
    images = torch.randint(0, 256, (batch, card.channels, card.height, card.width), dtype=torch.uint8)
    with torch.inference_mode():
        if isinstance(model, PARSeq):
            model.pos_queries.mul_(20)  # or every position reads the same
        model.head.bias[0] = -100.0

        def greedy(features: Any, given: Tensor, steps: int) -> Tensor:
            decoder = model.start(features, steps - 1)
            return greedy_logits(decoder, given, steps, bos=model.bos, eos=model.eos).argmax(2)

        def beams(features: Any, given: Tensor, steps: int, beam: int) -> Tensor:
            decoder = model.start(features, steps - 1, beam)
            return beam_search(decoder, given, steps, beam, bos=model.bos, eos=model.eos).ids[:, 0]

        encoded = {count: model.features(images[:count]) for count in (1, batch)}
        for length in LENGTHS:
            one, two = partial(uncached, model, encoded[batch], length), partial(greedy, encoded[batch], images, length)
            report(
                f"{arch}, batch {batch}, {length} characters: without a cache, with it",
                {**paired(one, two, rounds), "equal": torch.equal(one(), two())},
            )
        for count, features in encoded.items():
            for beam in (5, 2, 10):
                given = images[:count]
                found = paired(partial(greedy, features, given, 26), partial(beams, features, given, 26, beam), rounds)
                report(f"{arch}, batch {count}, 25 characters: greedy, beam {beam}", found)


def ctc(batch: int, rounds: int) -> None:
    """Measure the decoding of logits as sharp as those of a trained model: 90 % blanks, few doubts."""
    rng = np.random.default_rng(0)
    card = recognition_card(get_spec("crnn"), ASCII94)
    logits = rng.normal(0, 2, (batch, 32, len(ASCII94) + 1)).astype(np.float32)
    best = np.where(rng.random((batch, 32)) < 0.7, 0, rng.integers(1, 95, (batch, 32)))
    np.put_along_axis(logits, best[:, :, None], 12.0, axis=2)
    greedy = TextDecoder(card, Decoding())
    model = build_model(card).eval()
    images = torch.zeros(batch, 1, 32, 128, dtype=torch.uint8)

    def read(decoder: TextDecoder) -> None:
        model(images)
        decoder.decode(logits)

    with torch.inference_mode():
        for beam in (1, 5, 10):
            decoder = TextDecoder(card, Decoding(beam=beam))
            found = paired(partial(greedy.decode, logits), partial(decoder.decode, logits), rounds)
            report(f"CTC, batch {batch}, 32 steps: greedy, beam {beam}", found)
            found = paired(partial(read, greedy), partial(read, decoder), rounds)
            report(f"crnn and CTC, batch {batch}: greedy, beam {beam}", found)


def main() -> None:
    """Measure and print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="parseq-tiny")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=["ctc", "autoregressive"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only != "ctc":
        autoregressive(options.arch, options.batch, options.rounds)
    if options.only != "autoregressive":
        ctc(options.batch, options.rounds)


if __name__ == "__main__":
    main()
