"""Values that are not finite, in arrays: in one pass where all are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def not_finite(values: NDArray[np.floating], *, infinite: bool = True) -> str:
    """How many values are NaN or, unless `infinite` allows them (False), infinite: "2 NaN and 1 infinite value";
    empty when none is."""
    flat = values.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.dot(flat, flat)  # finite unless a value is not, or is very large
    if np.isfinite(total):
        return ""
    nan, endless = int(np.isnan(flat).sum()), int(np.isinf(flat).sum()) if infinite else 0
    counts = ((nan, "NaN"), (endless, "infinite value" if endless == 1 else "infinite values"))
    return " and ".join(f"{count} {name}" for count, name in counts if count)
