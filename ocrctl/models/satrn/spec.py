"""SATRN: architectures and their torch-free facts.

Lee et al., "On Recognizing Texts of Arbitrary Shapes with 2D Self-Attention", 2019 (https://arxiv.org/abs/1910.04396):
words of 32x100 pixels, features at a quarter of the size.
"""

from __future__ import annotations

from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily

KEPT = KeptAspect(min_width=8, max_width=320, multiple=4)  # attention grows with the square of the width
FAMILY = ModelFamily(
    "satrn",
    (
        ModelSpec("satrn-tiny", "recognition", "satrn",
                  "SATRN (tiny variant), 0.9 M parameters, 32x100 RGB, autoregressive: for a CPU",
                  32, 100, 3, 8, 4, "ar", 25, "lower36", lr=1e-3, decodings=("ar",),
                  resizes=("stretch", "keep"), kept=KEPT, attention="cross"),
        ModelSpec("satrn", "recognition", "satrn",
                  "SATRN, 65.0 M parameters, 32x100 RGB, autoregressive",
                  32, 100, 3, 4, 4, "ar", 25, "ascii94", lr=3e-4, decodings=("ar",),
                  resizes=("stretch", "keep"), kept=KEPT, attention="cross"),
    ),
    build="ocrctl.models.satrn.model:build",
    objective="cross-entropy",
)  # fmt: skip
