"""Compare logits and strings of a trained model and its export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrctl.inference.engine import Engine, Recognition, most_confident
from ocrctl.metrics.recognition import describe_constant_predictions

MASKED = -1e3  # below it: classes that a step cannot have (models.ocr_model.NEVER)


@dataclass(frozen=True)
class Disagreement:
    """A sample on which the two read different strings, or found other boxes."""

    where: str
    torch: str
    onnx: str


@dataclass(frozen=True)
class Parity:
    """One comparison: largest difference of logits or maps, and the samples whose strings or boxes (`of`) differ.

    max_abs_diff: absolute. max_diff: relative, of logits to the largest logit of the step, of maps to the value itself,
    where that is beyond 1, since the rounding of float32 grows with it; the tolerances apply to it. nothing: why equal
    strings or boxes are no agreement, as both sides read or found nothing ("" when they did, and for probes, which hold
    no text).
    """

    what: str
    samples: int
    max_abs_diff: float
    max_diff: float
    differing: list[Disagreement]
    of: str = "strings"
    nothing: str = ""


def probe_images(engine: Engine, size: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Generate seeded prepared images (H, W, C): noise of every contrast over ramps, flat black and white among them.
    Of a model that keeps the aspect ratio they have many widths, the minimum and the maximum among them."""
    card = engine.card
    width = card.example_width
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, width)[None, None, :, None]
    noise = rng.normal(0, 1, (size, card.height, width, card.channels))
    contrast = rng.uniform(0, 128, (size, 1, 1, 1))
    images = np.clip(ramp * rng.uniform(0, 1, (size, 1, 1, 1)) + contrast * noise, 0, 255).astype(np.uint8)
    if size > 2:
        images[-1], images[-2] = 0, 255
    if card.kept is None or size < 2:
        return list(images)
    widths = np.geomspace(card.kept.min_width, card.kept.max_width, size).astype(int)
    return [np.resize(image, (card.height, width, card.channels)) for image, width in zip(images, widths, strict=True)]


def compare(
    torch_engine: Engine,
    onnx_engine: Engine,
    what: str,
    chunks: Iterable[tuple[list[str], Sequence[Sequence[NDArray[np.uint8]]]]],
    truths: Sequence[str] | None = None,
) -> Parity:
    """Run both on all prepared images, given in chunks of (names, for each its orientations uint8 (H, W, C)), in the
    same batches, and collect where they differ: in the logits of any orientation, or in the string that is taken.
    `truths` are the labels of all samples, in order (None for probes).

    A non-finite logit on either side counts as an infinite difference.
    """
    samples, largest = 0, (0.0, 0.0)
    texts: list[str] = []
    differing: list[Disagreement] = []
    for names, images in chunks:
        read: dict[int, tuple[Recognition, Recognition]] = {}
        for rows, batch, widths in torch_engine.batches([view for views in images for view in views]):
            ours, theirs = torch_engine.logits(batch, widths), onnx_engine.logits(batch, widths)
            if ours.shape != theirs.shape:
                raise ValueError(f"logits differ in shape: PyTorch {ours.shape}, ONNX Runtime {theirs.shape}")
            largest = larger(largest, differences(ours, theirs, largest_logits(ours)))
            for row, one, other in zip(rows, torch_engine.decode(ours), onnx_engine.decode(theirs), strict=True):
                read[row] = one, other
        sides = zip(*(read[row] for row in range(len(read))), strict=True)
        taken = (most_confident(side, [len(views) for views in images]) for side in sides)
        for name, one, other in zip(names, *taken, strict=True):
            texts.append(one.text)
            if one.text != other.text:
                differing.append(Disagreement(name, one.text, other.text))
        samples += len(names)
    nothing = describe_constant_predictions(texts, truths) if truths is not None else None
    return Parity(what, samples, *largest, differing, nothing=nothing or "")


def largest_logits(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest absolute logit (N, T, 1) of each step of `logits` (N, T, K), without the classes that the step
    cannot have. All logits of a step are sums over the same features, so their rounding has one scale: that of a logit
    near 0 is not smaller."""
    return np.abs(np.where(logits > MASKED, logits, 0)).max(-1, keepdims=True)


def differences(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], scale: NDArray[np.float32] | None = None
) -> tuple[float, float]:
    """Return the largest difference of two arrays of one shape, absolute and relative to `scale` (None: the absolute
    values of `ours`) where that is beyond 1; infinite where a value is not finite."""
    gap = np.abs(ours - theirs)
    if not np.isfinite(gap).all():
        return float("inf"), float("inf")
    return float(gap.max()), float((gap / np.maximum(1, np.abs(ours) if scale is None else scale)).max())


def larger(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Return the larger of each of two `differences`."""
    return max(one[0], other[0]), max(one[1], other[1])
