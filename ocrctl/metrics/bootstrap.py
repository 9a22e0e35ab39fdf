"""Intervals of scores: Wilson's for a proportion of words, the seeded bootstrap for means, ratios and differences.

Percentile bootstrap (Efron and Tibshirani 1993, ch. 13), resampling words. Comparisons are paired: models fail on
the same hard words (Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation").
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CELLS_PER_CHUNK = 4_000_000  # 32 MB of int64 counts at a time, whatever the number of samples


@dataclass(frozen=True)
class Interval:
    """A value with its interval at `level` (0.95: 95 %); low and high are NaN when not computed."""

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


def wilson_interval(hits: int, samples: int, level: float = 0.95) -> Interval:
    """Return hits / samples with its score interval; it has a width when none or all are hits, unlike the bootstrap.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22(158),
    https://doi.org/10.1080/01621459.1927.10502953; recommended by Brown, Cai and DasGupta 2001,
    https://doi.org/10.1214/ss/1009213286. Raises ValueError unless 0 <= hits <= samples and samples > 0.
    """
    if not 0 <= hits <= samples or samples == 0:
        raise ValueError(f"expected 0 <= hits <= samples and samples > 0, got {hits} of {samples}")
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)  # 1.96 at 95 %
    share = hits / samples
    centre = (share + z * z / (2 * samples)) / (1 + z * z / samples)
    half = z / (1 + z * z / samples) * (share * (1 - share) / samples + z * z / (4 * samples * samples)) ** 0.5
    # Exactly 0 and 1 at the ends, where rounding would leave the value outside its interval.
    low, high = (0.0 if hits == 0 else centre - half), (1.0 if hits == samples else centre + half)
    return Interval(share, low, high, level)
