"""What all guards of a training step cost: interleaved pairs of steps with and without them.

    python benchmarks/guard_cost.py [ARCH] [BATCH] [PAIRS]

The same module, model and batch. "Without" leaves out the flag, the statistics' copy and the gated update of the guard
against non-finite values, and the watchdog's notes; clipping and the optimiser stay. What a log row adds (reading the
flag, checking every weight) is measured by itself and spread over `train.log_every_steps`. Prints the median cost in
per cent of CPU time and its 95 % bootstrap interval.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import TrainSettings, WatchdogSettings
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.finite import names_not_finite
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import Charset
from ocrctl.training.guard import Statistics, StepGuard
from ocrctl.training.objectives import choose_objective
from ocrctl.training.optimizer import build_optimizer, clip
from ocrctl.training.watchdog import Watchdog


class Step:
    """One training step of the module, without Lightning around it."""

    def __init__(self, arch: str, batch: int, watchdog: Watchdog) -> None:
        self.watchdog = watchdog
        spec, self.train = get_spec(arch), TrainSettings()
        card = ModelCard(arch, spec.task, Charset.load("lower36").chars, spec.input_height, spec.input_width,
                         spec.channels, 25)  # fmt: skip
        self.model = build_model(card).to(memory_format=torch.channels_last)
        self.model.train()
        self.objective = choose_objective(card, self.train)
        self.optimizer: Any = build_optimizer(self.model, self.train)
        self.guard = StepGuard(torch.device("cpu"), 1 << 14, latch=True)
        self.statistics = Statistics(self.model)
        tokenizer = card_tokenizer(card)
        ids = [tokenizer.encode("abc123de")] * batch
        images = torch.randint(0, 256, (batch, spec.channels, spec.input_height, spec.input_width), dtype=torch.uint8)
        self.batch = SimpleNamespace(
            images=images.contiguous(memory_format=torch.channels_last),
            labels=torch.tensor(ids),
            lengths=torch.tensor([len(i) for i in ids]),
        )

    def __call__(self, guarded: bool) -> float:
        start = time.process_time()
        if guarded:
            self.watchdog.enter("step")
            self.statistics.keep()
        loss = self.objective(self.model, vars(self.batch))
        loss.backward()
        norm = clip(list(self.model.parameters()), 5.0, None)
        if guarded:
            held = self.optimizer.found_inf = self.guard.record(loss.detach(), norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if guarded:
            self.statistics.restore_where(held)
            del self.optimizer.found_inf
            self.watchdog.enter("loader")
        return time.process_time() - start

    def log_row(self) -> float:
        """Return the seconds of what a log row checks."""
        start = time.process_time()
        self.guard.read()
        assert not names_not_finite(self.model.state_dict())
        return time.process_time() - start


def main(arch: str = "crnn-tiny", batch: int = 32, pairs: int = 300) -> None:
    """Print one line."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Watchdog(Path(folder), WatchdogSettings(), None, print) as watchdog,
    ):
        step = Step(arch, batch, watchdog)
        for _ in range(4):
            step(True), step(False)
        pairs_of_times = []
        for number in range(pairs):
            first = number % 2 == 0
            times = {flag: step(flag) for flag in (first, not first)}
            pairs_of_times.append((times[True], times[False]))
        rows = float(np.median([step.log_row() for _ in range(20)]))
    plain = float(np.median([without for _, without in pairs_of_times]))
    row_share = rows / step.train.log_every_steps / plain
    ratios = [1 + row_share + (guarded - without) / without for guarded, without in pairs_of_times]
    rng = np.random.default_rng(0)
    medians = [float(np.median(rng.choice(ratios, len(ratios)))) for _ in range(2000)]
    low, high = np.percentile(medians, [2.5, 97.5])
    print(f"{arch}, batch {batch}: all guards cost {100 * (np.median(ratios) - 1):+.2f} % [{100 * (low - 1):+.2f}, "
          f"{100 * (high - 1):+.2f}] of a step of {1000 * plain:.1f} ms, {100 * row_share:.2f} of them by log rows, "
          f"{pairs} pairs")  # fmt: skip


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*words[:1], *map(int, words[1:]))
