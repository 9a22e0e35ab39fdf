"""CRNN: architectures and their torch-free facts.

Shi, Bai, Yao, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", 2015
(https://arxiv.org/abs/1507.05717): 32 rows of grey, one output step for every 4 columns.
"""

from __future__ import annotations

from typing import Literal

from ocrctl.config.feature_grid import OWN
from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily

KEPT = KeptAspect(min_width=8, max_width=640, multiple=4)  # 640: twenty times as wide as high
# As EasyOCR, which has no maximum.
KEPT64 = KeptAspect(min_width=4, max_width=2560, multiple=64, pad_multiple=64, linear=True)
STRIDES5 = ((2, 2), (2, 2), (1, 1), (2, 1), (2, 1))
STRIDES6 = ((2, 2), (2, 2), (1, 1), (2, 1), (1, 1), (2, 1))
BACKBONES = (OWN, "resnet18", "resnet50", "efficientnet-lite0", "mobilenetv3")


def _two_sizes(family: str, tiny: str, base: str, attention: Literal["", "self"] = "") -> tuple[ModelSpec, ModelSpec]:
    """Return the size for CPUs and the base size of a family, with their summaries."""
    return (
        ModelSpec(f"{family}-tiny", "recognition", family, tiny, 32, 100, 1, 32, 4, "ctc", 25, "lower36",
                  resizes=("stretch", "keep"), kept=KEPT, backbones=BACKBONES, strides=STRIDES5, attention=attention),
        ModelSpec(family, "recognition", family, base, 32, 128, 1, 32, 4, "ctc", 32, "ascii94",
                  resizes=("stretch", "keep"), kept=KEPT, backbones=BACKBONES, strides=STRIDES6, attention=attention),
    )  # fmt: skip


CRNN = ModelFamily(
    "crnn",
    (
        *_two_sizes("crnn",
                    "CRNN (tiny variant), 0.5 M parameters, 32x100 grey, CTC: trains in minutes on a CPU",
                    "CRNN (light variant), 2.8 M parameters, 32x128 grey, CTC: the base recogniser"),
        ModelSpec("crnn-vgg", "recognition", "crnn",
                  "CRNN as published (VGG, BiLSTM, CTC), 8.5 M parameters, 32x100 grey",
                  32, 100, 1, 32, 4, "ctc", 25, "lower36", lost_steps=1, fine_tune_lr=1e-4),
        ModelSpec("crnn-vgg-small", "recognition", "crnn",
                  "CRNN of EasyOCR (VGG, BiLSTM, CTC), 3.8 M parameters, 64 rows of grey, aspect ratio kept",
                  64, 2560, 1, 64, 4, "ctc", 320, "ascii95", resizes=("keep",), kept=KEPT64, lost_steps=1,
                  fine_tune_lr=1e-4),
    ),
    published="ocrctl.models.crnn.published:recognise",
    build="ocrctl.models.crnn.model:build",
    objective="ctc",
)  # fmt: skip
ATTENTION = ModelFamily(
    "attention-crnn",
    _two_sizes("attention-crnn",
               "CRNN with self-attention for the LSTM (tiny), 0.6 M parameters, 32x100 grey, CTC",
               "CRNN with self-attention for the LSTM, 3.2 M parameters, 32x128 grey, CTC", "self"),
    build="ocrctl.models.crnn.attention:build",
    objective="ctc",
)  # fmt: skip
EFFICIENT = ModelFamily(
    "efficient-crnn",
    _two_sizes("efficient-crnn",
               "CRNN with depthwise-separable convolutions (tiny), 0.2 M parameters, 32x100 grey, CTC",
               "CRNN with depthwise-separable convolutions, 1.8 M parameters, 32x128 grey, CTC"),
    build="ocrctl.models.crnn.efficient:build",
    objective="ctc",
)  # fmt: skip
FAMILIES = (CRNN, ATTENTION, EFFICIENT)
