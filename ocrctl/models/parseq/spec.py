"""PARSeq: architectures and their torch-free facts.

Bautista, Atienza, "Scene Text Recognition with Permuted Autoregressive Sequence Models", 2022
(https://arxiv.org/abs/2207.06966): patches of 4x8 pixels, at most 25 characters.
"""

from __future__ import annotations

from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily

FAMILY = ModelFamily(
    "parseq",
    (
        ModelSpec("parseq-tiny", "recognition", "parseq",
                  "PARSeq (tiny), 6.0 M parameters, 32x128 RGB, autoregressive",
                  32, 128, 3, 4, 8, "ar", 25, "ascii94", lr=5e-4,
                  options=("dropout", "decoding", "refine"), decodings=("ar", "nar"),
                  attention="cross"),
        ModelSpec("parseq", "recognition", "parseq",
                  "PARSeq (small), 23.8 M parameters, 32x128 RGB, autoregressive",
                  32, 128, 3, 4, 8, "ar", 25, "ascii94", lr=5e-4,
                  options=("dropout", "decoding", "refine"), decodings=("ar", "nar"),
                  attention="cross"),
    ),
    build="ocrctl.models.parseq.model:build",
    objective="ocrctl.models.parseq.loss:objective",
    published="ocrctl.models.parseq.published:recognise",
)  # fmt: skip
