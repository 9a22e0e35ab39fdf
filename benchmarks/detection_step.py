"""One training step of a detector on this CPU: seconds, peak memory, and what the formula projects.

    python benchmarks/detection_step.py --arch dbnet --backbone efficientnet-lite0 --size 640 --batch 2 --threads 2

Seconds are the median over `--steps` steps after one that is not counted; with `--cpu-seconds` they are those that the
process spent computing, which a busy machine does not change. The peak is that of the resident set, read after each of
the process's first parts (imports, model, steps), so that what a step adds stands beside the projection.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import ModelSettings
from ocrctl.models.build import build_model
from ocrctl.models.family import load_part
from ocrctl.models.memory import CASTS, training_memory
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import family_of, get_spec
from ocrctl.runtime import keep_memory

MIB = 2**20


def make_targets(card: ModelCard, count: int) -> dict[str, Tensor]:
    """Targets as the collate makes them, one text line in the middle."""
    stride = get_spec(card.arch).stride_h
    height, width = card.height // stride, card.width // stride
    words = torch.zeros(count, height, width, dtype=torch.uint8)
    words[:, height // 3 : height // 2, width // 4 : 3 * width // 4] = 1
    ones = torch.ones_like(words)
    if card.decoder == "db":
        return {"shrink": words, "shrink_mask": ones, "border": words * torch.tensor(0.5).half(), "border_mask": words}
    if card.decoder == "pan":
        return {"instance": words.int(), "kernel": words, "mask": ones}
    return {"region": words.half(), "affinity": words.half(), "mask": ones}


def peak() -> float:
    """Most memory that this process has had resident so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="dbnet")
    parser.add_argument("--backbone", default="auto")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--precision", default="32-true", choices=list(CASTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--cpu-seconds", action="store_true")
    parser.add_argument("--no-channels-last", action="store_true")
    parser.add_argument("--project-only", action="store_true", help="the formula alone")
    options = parser.parse_args()

    card = detection_card(
        get_spec(options.arch), ModelSettings(backbone=options.backbone), height=options.size, width=options.size
    )
    loss_of = load_part(family_of(card.arch).loss)

    def learn(model: OCRModel, images: Tensor) -> Tensor:
        return loss_of(model(images), make_targets(card, len(images)))

    if not options.project_only:
        measure(card, learn, options)
    for device in ("cpu", "cuda"):
        parts = training_memory(
            card, learn, batch=options.batch, precision=options.precision, device=device,
            channels_last=not options.no_channels_last,
        )  # fmt: skip
        listed = ", ".join(f"{name} {value / MIB:.0f}" for name, value in vars(parts).items())
        print(f"projected on {device}: {parts.total / MIB:.0f} MiB ({listed})")


def measure(card: ModelCard, learn: Callable[[OCRModel, Tensor], Tensor], options: argparse.Namespace) -> None:
    """Run the steps and print what they took."""
    keep_memory()  # as training does
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    layout = torch.contiguous_format if options.no_channels_last else torch.channels_last
    before = peak()
    model = build_model(card).train().to(memory_format=layout)
    shape = (options.batch, 3, card.height, card.width)
    images = torch.randint(0, 256, shape, dtype=torch.uint8).contiguous(memory_format=layout)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    dtype = CASTS[options.precision]
    clock = time.process_time if options.cpu_seconds else time.perf_counter
    seconds = []
    for _ in range(options.steps + 1):
        start = clock()
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            loss = learn(model, images)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(clock() - start)
    kind = "CPU seconds" if options.cpu_seconds else "seconds"
    count = sum(p.numel() for p in model.parameters())
    print(
        f"{card.arch} over {card.model['backbone']}, {count:,} parameters, {shape}, {options.precision}, "
        f"{options.threads} threads: {statistics.median(seconds[1:]):.2f} {kind} a step, "
        f"peak {peak():.0f} MiB, of which {before:.0f} before there was a model"
    )


if __name__ == "__main__":
    main()
