"""Compare logits and strings of a trained model and its export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrctl.inference.engine import Engine
from ocrctl.metrics.recognition import describe_constant_predictions


@dataclass(frozen=True)
class Disagreement:
    """A sample on which the two read different strings, or found other boxes."""

    where: str
    torch: str
    onnx: str


@dataclass(frozen=True)
class Parity:
    """One comparison: largest absolute difference of logits or maps, and the samples whose strings or boxes (`of`)
    differ. `nothing` says why equal strings or boxes are no agreement: both sides read or found nothing ("" when they
    did, and for probes, which hold no text)."""

    what: str
    samples: int
    max_abs_diff: float
    differing: list[Disagreement]
    of: str = "strings"
    nothing: str = ""


def probe_batch(engine: Engine, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Seeded images (size, H, W, C): noise of every contrast over ramps, flat black and white among them."""
    card = engine.card
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, card.width)[None, None, :, None]
    noise = rng.normal(0, 1, (size, card.height, card.width, card.channels))
    contrast = rng.uniform(0, 128, (size, 1, 1, 1))
    pictures = np.clip(ramp * rng.uniform(0, 1, (size, 1, 1, 1)) + contrast * noise, 0, 255).astype(np.uint8)
    if size > 2:
        pictures[-1], pictures[-2] = 0, 255
    return pictures


def compare(
    torch_engine: Engine,
    onnx_engine: Engine,
    what: str,
    batches: Iterable[tuple[list[str], NDArray[np.uint8]]],
    truths: Sequence[str] | None = None,
) -> Parity:
    """Run both on every batch of (names, prepared uint8 (N, H, W, C)) and collect where they differ; `truths` are the
    labels of all samples, in order (None for probes).

    A non-finite logit on either side counts as an infinite difference.
    """
    samples, largest = 0, 0.0
    texts: list[str] = []
    differing: list[Disagreement] = []
    for names, batch in batches:
        ours, theirs = torch_engine.logits(batch), onnx_engine.logits(batch)
        if ours.shape != theirs.shape:
            raise ValueError(f"logits differ in shape: PyTorch {ours.shape}, ONNX Runtime {theirs.shape}")
        gap = np.abs(ours - theirs)
        largest = max(largest, float(gap.max()) if np.isfinite(gap).all() else float("inf"))
        for name, one, other in zip(names, torch_engine.decode(ours), onnx_engine.decode(theirs), strict=True):
            texts.append(one.text)
            if one.text != other.text:
                differing.append(Disagreement(name, one.text, other.text))
        samples += len(names)
    nothing = describe_constant_predictions(texts, truths) if truths is not None else None
    return Parity(what, samples, largest, differing, nothing=nothing or "")
