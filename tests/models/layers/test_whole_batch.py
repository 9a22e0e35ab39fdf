"""Losses over a batch that processes divide equal those over the whole batch, in value and gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch import distributed as dist

from ocrctl.config.settings import TrainSettings
from ocrctl.models.craft.loss import craft_loss
from ocrctl.models.dbnet.loss import db_loss
from ocrctl.models.layers.whole_batch import batch_mean, batch_sum, over_processes
from ocrctl.models.pan.loss import pan_loss
from ocrctl.models.parseq.loss import permuted_loss

SIZE = 64


class Processes:
    """Two processes in one: the first pass records what each would send, the second returns the sums."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[list[Tensor]] = []
        self.sums: list[Tensor] | None = None
        monkeypatch.setattr(dist, "all_reduce", self.all_reduce)

    def all_reduce(self, value: Tensor) -> None:
        mine = self.sent[-1]
        if self.sums is not None and len(self.sums) > len(mine):
            value.copy_(self.sums[len(mine)])
        mine.append(value.clone())

    def run(self, losses: list[Callable[[], Tensor]]) -> list[Tensor]:
        """Exchange one sum after the other: what is sent later may depend on sums before."""
        self.sums = []
        while True:
            self.sent = []
            with over_processes(len(losses)):
                found = [self._one(loss) for loss in losses]
            known = len(self.sums)
            if known == len(self.sent[0]):
                return found
            self.sums.append(self.sent[0][known] + self.sent[1][known])

    def _one(self, loss: Callable[[], Tensor]) -> Tensor:
        self.sent.append([])
        return loss()


def maps(names: Mapping[str, str], images: int, seed: int) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    made = {
        "logits": lambda: torch.randn(images, SIZE, SIZE, generator=g),
        "unit": lambda: torch.rand(images, SIZE, SIZE, generator=g),
        "binary": lambda: (torch.rand(images, SIZE, SIZE, generator=g) < 0.2 / (1 + seed)).float(),
        "care": lambda: (torch.rand(images, SIZE, SIZE, generator=g) < 0.9).float(),
        "instance": lambda: torch.randint(0, 4, (images, SIZE, SIZE), generator=g),
        "embedding": lambda: torch.randn(images, 4, SIZE, SIZE, generator=g),
    }
    return {name: made[kind]() for name, kind in names.items()}


CASES = {
    "dbnet": (db_loss, {"probability": "logits", "threshold": "unit"},
              {"shrink": "binary", "shrink_mask": "care", "border": "unit", "border_mask": "binary"}),
    "pan": (pan_loss, {"text": "logits", "kernel": "logits", "embedding": "embedding"},
            {"instance": "instance", "kernel": "binary", "mask": "care"}),
    "craft": (craft_loss, {"region": "unit", "affinity": "unit"},
              {"region": "unit", "affinity": "unit", "mask": "care"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_detector_losses_of_two_processes_average_to_that_of_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts hold different amounts of text, so that means of parts are not the mean of the whole."""
    loss, outputs, targets = CASES[name]
    parts = [maps({**outputs, **{f"t.{key}": kind for key, kind in targets.items()}}, 2, seed) for seed in (0, 5)]
    found = [{key: part[key].requires_grad_() for key in outputs} for part in parts]
    wanted = [{key: part[f"t.{key}"] for key in targets} for part in parts]
    joined = {key: torch.cat([one[key].detach() for one in found]).requires_grad_() for key in outputs}
    whole = loss(joined, {key: torch.cat([one[key] for one in wanted]) for key in targets})
    whole.backward()
    shares = Processes(monkeypatch).run([lambda i=i: loss(found[i], wanted[i]) for i in range(2)])  # type: ignore[misc]
    torch.testing.assert_close((shares[0] + shares[1]) / 2, whole)
    ((shares[0] + shares[1]) / 2).backward()
    for key in outputs:
        torch.testing.assert_close(torch.cat([one[key].grad for one in found]), joined[key].grad)  # type: ignore[misc]


def test_characters_of_all_processes_weigh_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 6, 8, 7, generator=g).requires_grad_()
    targets = torch.full((4, 9), 8)
    for row, length in enumerate((7, 6, 2, 1)):
        targets[row, : length + 1] = torch.tensor([7, *([1] * (length - 1)), 0])
    whole = permuted_loss(logits, targets, ends=0, pad=8, smoothing=0.1)
    (expected,) = torch.autograd.grad(whole, logits)

    def share(rows: slice) -> Callable[[], Tensor]:
        return lambda: permuted_loss(logits[rows], targets[rows], ends=0, pad=8, smoothing=0.1)

    shares = Processes(monkeypatch).run([share(slice(0, 2)), share(slice(2, 4))])
    torch.testing.assert_close((shares[0] + shares[1]) / 2, whole)
    (found,) = torch.autograd.grad((shares[0] + shares[1]) / 2, logits)
    torch.testing.assert_close(found, expected)


def test_one_process_exchanges_nothing() -> None:
    value = torch.ones(2, requires_grad=True)
    assert batch_sum(value) is value and batch_mean(value, torch.ones(())) is value
    with over_processes(1):
        assert batch_sum(value) is value
    assert TrainSettings().processes == 1
