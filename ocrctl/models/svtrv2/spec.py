"""SVTRv2: architectures and their torch-free facts.

Du et al., "SVTRv2: CTC Beats Encoder-Decoder Models in Scene Text Recognition", 2024
(https://arxiv.org/abs/2411.15858): RGB, one output step for every 4 columns.
"""

from __future__ import annotations

from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily

# Multi-size resizing: an image as wide as high gets 64 columns, one twice as wide 96, three times 112, others 32 for
# each time. The paper gives the first three more rows as well (64, 48 and 40); here all have 32.
KEPT = KeptAspect(min_width=64, max_width=640, multiple=4, buckets=(64, 96, 112, 128))
FAMILY = ModelFamily(
    "svtrv2",
    (
        ModelSpec("svtrv2-tiny", "recognition", "svtrv2",
                  "SVTRv2-tiny, 5.1 M parameters, 32 high RGB, widths in steps of the aspect ratio, CTC",
                  32, 640, 3, 8, 4, "ctc", 160, "ascii94", lr=6.5e-4, options=("dropout", "guidance"),
                  resizes=("keep", "stretch"), kept=KEPT),
    ),
    published="ocrctl.models.svtrv2.published:recognise",
    build="ocrctl.models.svtrv2.model:build",
    objective="ctc",
)  # fmt: skip
