"""Recognise published weights of CRAFT (clovaai/CRAFT-pytorch), such as craft_mlt_25k.pth.

The network is the one of models/craft: VGG-16 with batch normalisation, cut into slices whose layers keep torchvision's
numbers, five double convolutions and the head. Only names differ. Images are RGB with ImageNet's mean and deviation,
the defaults of a detector's card.
"""

from __future__ import annotations

import re

from ocrctl.models.weight_file import Converted, Tensors, WeightFile

SIGNATURE = ("basenet.slice1.0.weight", "basenet.slice5.1.weight", "upconv1.conv.0.weight", "conv_cls.0.weight")
NAMES = (
    (re.compile(r"basenet\.slice5\.1\."), "encoder.fc6."),
    (re.compile(r"basenet\.slice5\.2\."), "encoder.fc7."),
    (re.compile(r"basenet\.slice[1-4]\."), "encoder.features."),
    (re.compile(r"upconv([1-4])\.conv\."), lambda found: f"decoder.steps.{int(found[1]) - 1}."),
    (re.compile(r"conv_cls\."), "head.layers."),
)
LOW_TEXT = 0.4  # the authors' threshold for parts of words; this package's own weights have another


def recognise(file: WeightFile) -> Converted | None:
    """Convert a published CRAFT, None for any other file. Names that it should not hold are left as they are."""
    if file.kind != "state_dict" or any(name not in file.tensors for name in SIGNATURE):
        return None
    tensors: Tensors = {}
    for name, value in file.tensors.items():
        for pattern, replacement in NAMES:
            if pattern.match(name):
                name = pattern.sub(replacement, name)
                break
        tensors[name] = value
    thresholds = {"threshold": 0.7, "link_threshold": 0.4, "low_text": LOW_TEXT}
    return Converted("craft", tensors, "published weights of craft", card={"thresholds": thresholds})
