"""What the guard against non-finite values costs a training step: interleaved pairs of steps with and without it.

    python benchmarks/guard_cost.py [ARCH] [BATCH] [PAIRS]

The same module, model and batch; "without" leaves out the flag, the statistics' copy and the gated update, and keeps
clipping and the optimiser. Prints the median cost in per cent and its 95 % bootstrap interval.
"""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import Charset
from ocrctl.training.guard import Statistics, StepGuard
from ocrctl.training.objectives import choose_objective
from ocrctl.training.optimizer import build_optimizer, clip


class Step:
    """One training step of the module, without Lightning around it."""

    def __init__(self, arch: str, batch: int) -> None:
        spec, self.train = get_spec(arch), TrainSettings()
        card = ModelCard(arch, spec.task, Charset.load("lower36").chars, spec.input_height, spec.input_width,
                         spec.channels, 25)  # fmt: skip
        self.model = build_model(card).to(memory_format=torch.channels_last)
        self.model.train()
        self.objective = choose_objective(card, self.train)
        self.optimizer: Any = build_optimizer(self.model, self.train)
        self.guard = StepGuard(torch.device("cpu"), 1 << 20, latch=True)
        self.statistics = Statistics(self.model)
        tokenizer = card_tokenizer(card)
        ids = [tokenizer.encode("abc123de")] * batch
        images = torch.randint(0, 256, (batch, spec.channels, spec.input_height, spec.input_width), dtype=torch.uint8)
        self.batch = SimpleNamespace(
            images=images.contiguous(memory_format=torch.channels_last),
            labels=torch.tensor(ids),
            lengths=torch.tensor([len(i) for i in ids]),
        )

    def __call__(self, spreadsheet_safe: bool) -> float:
        start = time.perf_counter()
        if spreadsheet_safe:
            self.statistics.keep()
        loss = self.objective(self.model, vars(self.batch))
        loss.backward()
        norm = clip(list(self.model.parameters()), 5.0, None)
        if spreadsheet_safe:
            held = self.optimizer.found_inf = self.guard.record(loss.detach(), norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if spreadsheet_safe:
            self.statistics.restore_where(held)
            del self.optimizer.found_inf
        return time.perf_counter() - start


def main(arch: str = "crnn-tiny", batch: int = 32, pairs: int = 300) -> None:
    """Print one line."""
    step = Step(arch, batch)
    for _ in range(4):
        step(True), step(False)
    ratios = []
    for number in range(pairs):
        first = number % 2 == 0
        times = {flag: step(flag) for flag in (first, not first)}
        ratios.append(times[True] / times[False])
    rng = np.random.default_rng(0)
    medians = [float(np.median(rng.choice(ratios, len(ratios)))) for _ in range(2000)]
    low, high = np.percentile(medians, [2.5, 97.5])
    print(f"{arch}, batch {batch}: guard costs {100 * (np.median(ratios) - 1):+.2f} % [{100 * (low - 1):+.2f}, "
          f"{100 * (high - 1):+.2f}] of a step, {pairs} pairs")  # fmt: skip


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*words[:1], *map(int, words[1:]))
