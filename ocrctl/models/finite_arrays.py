"""Checks for NaN and infinite values in arrays; those of weights are in `finite`, which needs torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOAT16_EXPONENT = np.uint16(0x7C00)  # bits of the exponent: all set where a value is infinite or NaN


def not_finite(values: NDArray[np.floating], *, infinite: bool = True) -> str:
    """Describe the values that are NaN or, with `infinite`, infinite: "2 NaN and 1 infinite value"; "" for none.

    One pass decides where all values are finite.
    """
    flat = values.ravel()
    if flat.dtype == np.float16:  # of which numpy has no fast arithmetic
        if not (flat.view(np.uint16) & FLOAT16_EXPONENT == FLOAT16_EXPONENT).any():
            return ""
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.dot(flat, flat)  # finite unless a value is not, or is very large
        if np.isfinite(total):
            return ""
    nan, inf = int(np.isnan(flat).sum()), int(np.isinf(flat).sum()) if infinite else 0
    counts = ((nan, "NaN"), (inf, "infinite value" if inf == 1 else "infinite values"))
    return " and ".join(f"{count} {name}" for count, name in counts if count)


def not_finite_output(name: str, values: NDArray[np.floating]) -> str:
    """Describe the values of a model's output `name` that are not finite: "the model's logits hold 2 NaN"; "" for
    none."""
    held = not_finite(values)
    return f"the model's {name} {'hold' if name.endswith('s') else 'holds'} {held}" if held else ""
