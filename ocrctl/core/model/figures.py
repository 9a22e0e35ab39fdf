"""Figures of a model, and those of the architectures of this package, which are read from a file without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

FILE = files("ocrctl.models").joinpath("figures.json")  # beside the registry; written by .ci/model_figures.py


@dataclass(frozen=True)
class ModelFigures:
    """Figures for one image.

    height, width: its size in pixels; of a recogniser that keeps the aspect ratio, four times as wide as high, at least
    its minimum. flops: floating-point operations of convolutions, matrix products and attention, a multiply-add is two;
    of an autoregressive model those of the encoder. grid: rows and columns of the features, of a detector its finest.
    steps: of the output, of an autoregressive decoder the maximum; None for a detector. latency_ms: median of one image
    at a time, of an autoregressive model of the longest text; None where it was not measured.
    """

    arch: str
    height: int
    width: int
    channels: int
    parameters: int
    flops: int
    grid: tuple[int, int]
    steps: int | None
    latency_ms: float | None = None


@cache
def built_in_figures() -> dict[str, ModelFigures]:
    """Return the figures of the architectures of this package with their default cards, by name. Counting them anew
    takes 20 CPU seconds; a test compares the file with such a count."""
    rows: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return {arch: ModelFigures(arch, **{**row, "grid": tuple(row["grid"])}) for arch, row in rows.items()}
