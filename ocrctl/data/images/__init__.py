"""Decode, check, resize and warp images. `Image` and `Mask` are their array types."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (height, width, 3) RGB
Mask = NDArray[np.uint8]  # (height, width) grey levels or opacities
