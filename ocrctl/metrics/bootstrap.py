"""Seeded bootstrap intervals over samples, and paired differences between models read from the same resamples.

Percentile bootstrap (Efron and Tibshirani 1993, ch. 13), resampling words. Comparisons are paired: models fail on
the same hard words (Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CELLS_PER_CHUNK = 4_000_000  # 32 MB of int64 counts at a time, whatever the number of samples


@dataclass(frozen=True)
class Interval:
    """A value with its percentile interval at `level` (0.95: 95 %); low and high are NaN when not computed."""

    value: float
    low: float
    high: float
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Return whether zero lies outside the interval: resampling does not explain the difference."""
        return self.low > 0 or self.high < 0


def resample_sums(columns: ArrayLike, resamples: int, seed: int) -> NDArray[np.float64]:
    """Sum each column over `resamples` draws of n rows with replacement.

    columns: (n, m), one row per sample. Returns float64 (resamples, m). Every column sees the same draws, which is what
    pairs two models evaluated on the same samples. The draws depend on (n, resamples, seed) only.
    """
    table = np.asarray(columns, np.float64)
    if table.ndim != 2:
        raise ValueError(f"expected columns of shape (n, m), got {table.shape}")
    rows, _ = table.shape
    if rows == 0:
        raise ValueError("cannot resample zero samples")
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, table.shape[1]))
    chunk = max(1, _CELLS_PER_CHUNK // rows)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        draws = rng.integers(0, rows, size=(size, rows))  # (size, n): a row number per draw
        draws += np.arange(size)[:, None] * rows
        counts = np.bincount(draws.ravel(), minlength=size * rows).reshape(size, rows)
        sums[start : start + size] = counts.astype(np.float64) @ table
    return sums


def percentile_interval(value: float, resampled: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Return the interval of the middle `level` of `resampled` (a value per resample)."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high), level)
