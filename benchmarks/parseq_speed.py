"""Speed of PARSeq's training step and of its reading, beside the authors' own code where that is given.

    python benchmarks/parseq_speed.py [--reference PATH] [--only train|read] [--bf16] [--arch parseq-tiny] [--batch 64]
                                       [--rounds 5] [--threads 2]

PATH is a checkout of baudm/parseq; its requirements (timm, pytorch_lightning, nltk) must be importable. Both get the
same weights, images, labels and optimizer, and take turns, each first in every other round; figures are medians, the
ratio is the median of the paired ratios. A step is forward, loss, backward, gradient clipping and AdamW. Reading is
character by character, forced to a length, and the encoder is left out on both sides: what it says is given to both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch

from ocrctl.config.model_card import recognition_card
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.parseq.loss import permuted_loss
from ocrctl.models.parseq.model import PARSeq
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import ASCII94

LENGTHS = (5, 10, 15, 20, 25)  # characters


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call, which other work on the machine disturbs less than the wall clock."""
    start = time.process_time()
    work()
    return time.process_time() - start


def paired(ours: Callable[[], object], theirs: Callable[[], object] | None, rounds: int) -> tuple[list[float], ...]:
    """Seconds of each call, taken in turn after one call of each that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for place, work in sorted(enumerate((ours, theirs)), reverse=bool(turn % 2)):
            if work is not None:
                taken = seconds(work)
                if turn:
                    times[place].append(taken)
    return times


def training_step(model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """One step of `model` on what `loss` computes."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return step


def reference_system(path: str, arch: str) -> torch.nn.Module:
    """The authors' system, untrained."""
    sys.path.insert(0, path)
    from strhub.models.utils import create_model

    system = create_model(arch, charset_test=ASCII94)
    system.log = lambda *args, **kwargs: None  # needs a trainer
    return system


def main() -> None:
    """Measure and print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", metavar="PATH")
    parser.add_argument("--arch", default="parseq-tiny")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["train", "read"])
    parser.add_argument("--bf16", action="store_true", help="under bf16 autocast (slow where the CPU lacks bf16)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    spec = get_spec(options.arch)
    card = recognition_card(spec, ASCII94, model={"dropout": 0.1})
    model = build_model(card)
    assert isinstance(model, PARSeq)
    tokenizer = card_tokenizer(card)
    words = [ASCII94[n % 36 :][: 3 + n % 10] for n in range(options.batch)]  # 3 to 12 characters
    encoded = [tokenizer.encode(word) for word in words]
    longest = max(map(len, encoded))
    targets = torch.tensor([ids + [tokenizer.pad] * (longest - len(ids)) for ids in encoded])
    images = torch.randint(0, 256, (options.batch, 3, 32, 128), dtype=torch.uint8)
    floats = model.normalise(images)
    system = reference_system(options.reference, options.arch) if options.reference else None
    if system is not None:
        system.model.load_state_dict(model.state_dict())

    def our_loss() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            return permuted_loss(model(images, targets)["logits"], targets, ends=0, pad=tokenizer.pad)

    def their_loss() -> torch.Tensor:
        assert system is not None
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            return system.training_step((floats, words), 0)

    def report(name: str, ours: list[float], theirs: list[float], unit: str, scale: Callable[[float], float]) -> None:
        row: dict[str, object] = {"figure": name, "unit": unit, "ocrctl": round(scale(statistics.median(ours)), 2)}
        if theirs:
            row["reference"] = round(scale(statistics.median(theirs)), 2)
            ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
            row["times_faster"] = round(statistics.median(ratios), 2)
        print(json.dumps(row), flush=True)

    if options.only != "read":
        model.train()
        if system is not None:
            system.train()
        step = training_step(model, our_loss)
        their_step = training_step(system, their_loss) if system is not None else None
        ours, theirs = paired(step, their_step, options.rounds)
        report("training step", ours, theirs, "images/s", lambda taken: options.batch / taken)
    if options.only != "train":
        read_lengths(model, system, images, options.rounds, report)


def read_lengths(
    model: PARSeq, system: torch.nn.Module | None, images: torch.Tensor, rounds: int, report: Callable[..., None]
) -> None:
    """Reading by length, without refinement and with one round of it; then what a character costs."""
    model.eval()
    floats = model.normalise(images)
    with torch.inference_mode():
        model.head.bias[0] = -100.0  # no text ends before the length that is asked for
        model.copy_weights()  # as the engine does
        memory = model.features(images)
        encoder, _ = paired(lambda: model.features(images), None, rounds)
        report("encoder", encoder, [], "ms", lambda taken: 1000 * taken)
        model.features = lambda given: memory  # type: ignore[method-assign]
        if system is not None:
            system.eval()
            system.model.load_state_dict(model.state_dict())
            system.model.encode = lambda given: memory
        for refine in (0, 1):
            best = []
            for length in LENGTHS:
                if system is not None:
                    system.model.refine_iters = refine

                def read(longest: int = length, again: int = refine) -> torch.Tensor:
                    return model.generate(images, decoding="ar", refine=again, max_length=longest)["logits"]

                theirs_read = (lambda n: lambda: system(floats, n))(length) if system is not None else None
                ours, theirs = paired(read, theirs_read, rounds)
                name = f"{length} characters, {refine} refinements, outside the encoder"
                report(name, ours, theirs, "ms", lambda taken: 1000 * taken)
                best.append(1000 * min(ours))
            added = [(b - a) / (LENGTHS[1] - LENGTHS[0]) for a, b in itertools.pairwise(best)]
            row = {"figure": f"a further character, {refine} refinements", "unit": "ms"}
            print(json.dumps({**row, "between_lengths": [round(one, 2) for one in added]}), flush=True)


if __name__ == "__main__":
    main()
