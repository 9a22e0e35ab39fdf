"""PP-OCRv6: architectures and their torch-free facts.

PaddleOCR 3 (https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0): 48 rows of RGB, the image's own width, one output
step for every 8 columns. The released models take BGR; import permutes the channels of their first convolution.
"""

from __future__ import annotations

from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily

RECOGNISER = ModelFamily(
    "ppocr-rec",
    (
        ModelSpec("ppocr-rec-small", "recognition", "ppocr-rec",
                  "PP-OCRv6 recogniser (small), 3.0 M parameters and 121 per character, 48 high RGB, CTC",
                  48, 320, 3, 48, 8, "ctc", 40, "ascii95", lr=3e-4),
    ),
    build="ocrctl.models.ppocr.recogniser:build",
    objective="ctc",
)  # fmt: skip
FAMILIES = (RECOGNISER,)
