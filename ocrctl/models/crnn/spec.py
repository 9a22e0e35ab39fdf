"""CRNN: architectures and their torch-free facts.

Shi, Bai, Yao, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", 2015
(https://arxiv.org/abs/1507.05717): 32 rows of grey, one output step for every 4 columns.
"""

from __future__ import annotations

from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily

KEPT = KeptAspect(min_width=8, max_width=640, multiple=4)  # 640: twenty times as wide as high
FAMILY = ModelFamily(
    "crnn",
    (
        ModelSpec("crnn-tiny", "recognition", "crnn",
                  "CRNN (tiny variant), 0.5 M parameters, 32x100 grey, CTC: trains in minutes on a CPU",
                  32, 100, 1, 32, 4, "ctc", 25, "lower36", resizes=("stretch", "keep"), kept=KEPT),
        ModelSpec("crnn", "recognition", "crnn",
                  "CRNN (light variant), 2.8 M parameters, 32x128 grey, CTC: the base recogniser",
                  32, 128, 1, 32, 4, "ctc", 32, "ascii94", resizes=("stretch", "keep"), kept=KEPT),
    ),
    build="ocrctl.models.crnn.model:build",
    objective="ctc",
)  # fmt: skip
