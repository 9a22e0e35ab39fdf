"""True-2D: architectures and their torch-free facts.

A recogniser that never flattens the image to one line: 2-D self-attention with relative position bias (Liu et al.,
2021, https://arxiv.org/abs/2103.14030), then deformable cross-attention (Zhu et al., 2021,
https://arxiv.org/abs/2010.04159).
"""

from __future__ import annotations

from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily

OPTIONS = ("dropout", "relative_bias", "window_size", "cross_attention", "points")
KEPT = KeptAspect(min_width=8, max_width=320, multiple=4)
FAMILY = ModelFamily(
    "true2d",
    (
        ModelSpec("true2d-tiny", "recognition", "true2d",
                  "True-2D attention (tiny variant), 0.9 M parameters, 32x100 RGB, autoregressive: for a CPU",
                  32, 100, 3, 8, 4, "ar", 25, "lower36", lr=1e-3, decodings=("ar",), options=OPTIONS,
                  resizes=("stretch", "keep"), kept=KEPT, attention="cross"),
        ModelSpec("true2d", "recognition", "true2d",
                  "True-2D attention with ResNet-50, 66.0 M parameters, 32x128 RGB, autoregressive",
                  32, 128, 3, 8, 4, "ar", 25, "ascii94", lr=3e-4, warmup_steps=10_000, decodings=("ar",),
                  options=OPTIONS, attention="cross"),
    ),
    build="ocrctl.models.true2d.model:build",
    objective="cross-entropy",
)  # fmt: skip
