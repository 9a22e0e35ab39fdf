"""Padding of training batches where the aspect ratio is kept: pixels computed for each pixel that counts.

Usage: python benchmarks/padding.py ARCH SPEC... [--batch-size N] [--augment S] [--epochs N]

Reads no image: the width of every draw comes from the image headers, the augmentation's geometry and the layout of
synthetic words, as in training. Prints one JSON object: the figure with the order by width, and with batches drawn at
random. `--check N` decodes the first N batches and compares. `--steps N` runs forward and backward passes of N batches
spread over the run, one thread, and divides their CPU time by that of the same model on batches without padding: as
many images of the mean counted width, and no widths.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

from ocrctl.core.train.recognition import prepare
from ocrctl.core.train.run import load_train_settings
from ocrctl.data.datasets.loader import to_tensors
from ocrctl.models.build import build_model
from ocrctl.models.registry import get_spec
from ocrctl.training.objectives import ctc_objective

parser = argparse.ArgumentParser()
parser.add_argument("arch")
parser.add_argument("specs", nargs="+")
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--augment", type=float, default=1.0)
parser.add_argument("--epochs", type=float, default=4.0)
parser.add_argument("--check", type=int, default=4)
parser.add_argument("--steps", type=int, default=0)
options = parser.parse_args()

sets = [f"train.batch_size={options.batch_size}", f"data.augment={options.augment}", "data.charset=ascii94",
        "data.unknown_chars=skip", "data.bad_labels=skip", "data.val=synth:words"]  # fmt: skip
settings = load_train_settings(None, sets, {"arch": options.arch, "data": {"train": options.specs}})
spec = get_spec(options.arch, resize="keep")
task = prepare(settings, spec, print)
samples, kept = task.samples, spec.kept
assert samples.order is not None and kept is not None

size = options.batch_size
batches = max(1, int(options.epochs * (task.epoch_size or 64 * size) / size))
positions = range(batches * size)
start = time.process_time()
draws = np.array([samples.order.draw(position) for position in positions]).reshape(batches, size)
seconds = time.process_time() - start
widths = np.array([[samples.width(int(draw)) for draw in batch] for batch in draws])
mixed = np.random.default_rng(0).permutation(widths.ravel()).reshape(widths.shape)


def cost(rows: np.ndarray) -> float:
    """Columns computed for each column that counts: of an image, or padding that the model reads (KeptAspect)."""
    needed = sum(kept.counted(int(width)) for width in rows.ravel())
    return size * sum(kept.batch_width(int(row.max())) for row in rows) / needed


for number in range(min(options.check, batches)):
    batch = samples.__getitems__(range(number * size, (number + 1) * size))
    assert batch.widths.tolist() == widths[number].tolist(), "the widths in advance are not those of the images"


def seconds_of_steps() -> float | None:
    """CPU time of padded training steps for each second of steps of the same pixels without padding."""
    if not options.steps:
        return None
    torch.set_num_threads(1)
    model = build_model(task.card).train()
    padded = plain = 0.0
    for number in np.linspace(0, batches - 1, options.steps).astype(int):
        batch = to_tensors(samples.__getitems__(range(number * size, (number + 1) * size)))
        columns = sum(kept.counted(int(width)) for width in batch["widths"])
        columns = -(-columns // (size * kept.multiple)) * kept.multiple
        height, channels = task.card.height, task.card.channels
        images = torch.zeros(size, height, columns, channels, dtype=torch.uint8).permute(0, 3, 1, 2)
        even = {**batch, "images": images}
        del even["widths"]
        for turn in range(2):  # the first warms up
            start = time.process_time()
            ctc_objective(model, batch).backward()
            middle = time.process_time()
            ctc_objective(model, even).backward()
            if turn:
                padded, plain = padded + middle - start, plain + time.process_time() - middle
    return round(padded / plain, 3)


print(json.dumps({
    "cpu_time_per_pixel": seconds_of_steps(),
    "arch": options.arch, "specs": options.specs, "batch_size": size, "augment": options.augment, "batches": batches,
    "lanes": samples.order.lanes, "window": samples.order.batches,
    "median_width": float(np.median(widths)), "mean_width": round(float(widths.mean()), 1),
    "counted_per_image_column": round(sum(kept.counted(int(width)) for width in widths.ravel()) / int(widths.sum()), 4),
    "columns_per_column": round(cost(widths), 4), "drawn_at_random": round(cost(mixed), 4),
    "microseconds_per_sample": round(1e6 * seconds / len(positions), 1),
}))  # fmt: skip
