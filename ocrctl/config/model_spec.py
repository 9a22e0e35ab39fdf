"""What data commands must know of an architecture, without importing torch: sizes, strides, steps, charset kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import UsageError

Task = Literal["recognition", "detection"]
CharsetKind = Literal["ctc", "ar"]


@dataclass(frozen=True)
class ModelSpec:
    """The torch-free facts of one architecture; sizes in pixels, strides in input pixels per feature cell."""

    name: str
    task: Task
    family: str
    summary: str
    input_height: int
    input_width: int
    channels: int
    stride_h: int
    stride_w: int
    charset_kind: CharsetKind | None
    max_label_length: int
    default_charset: str
    min_height: int = 8
    min_width: int = 8
    lr: float = 1e-3  # peak learning rate of AdamW unless a profile, a variable or a flag names one
    size_multiple: int = 1  # both sides of an input must be multiples of this many pixels
    backbones: tuple[str, ...] = ()  # what model.backbone may name, the default first

    def at_width(self, width: int) -> ModelSpec:
        """The same architecture for pictures `width` pixels wide; with CTC, longer labels fit in proportion. Raises
        UsageError for a detector, and for a width that its cells do not fill."""
        if self.task == "detection":
            raise UsageError(
                f"model.width: {self.name} takes pages of any size.", hint="page.width is its training size"
            )
        if width < self.min_width or width % self.stride_w:
            raise UsageError(
                f"model.width: {self.name} takes widths in multiples of {self.stride_w} pixels from"
                f" {self.min_width} on, found {width}."
            )
        longest = self.max_label_length
        if self.charset_kind == "ctc":
            longest = max(1, longest * width // self.input_width)
        return replace(self, input_width=width, max_label_length=longest)

    def output_steps(self, width: int | None = None) -> int:
        """Number of output steps for an input `width` pixels wide (default: the model's own input width); an
        autoregressive decoder has one for each character and one for the end, however wide the picture."""
        if self.charset_kind == "ar":
            return self.max_label_length + 1
        return (self.input_width if width is None else width) // self.stride_w

    def longest_label(self) -> int:
        """Length up to which every label fits: CTC needs a blank between equal neighbours, so 2 n - 1 steps."""
        if self.charset_kind == "ctc":
            return min(self.max_label_length, (self.output_steps() + 1) // 2)
        return self.max_label_length


DEFAULT_ARCH = "crnn-tiny"

# One line per architecture. CRNN: Shi, Bai, Yao, "An End-to-End Trainable Neural Network for Image-based Sequence
# Recognition", 2015 (32x100 grey input, one output step per 4 columns). PARSeq: Bautista, Atienza, 2022
# (https://arxiv.org/abs/2207.06966), patches of 4x8 pixels, at most 25 characters. Detectors take any size in steps of
# 32 pixels; the one given here is what they train at, the stride that of their output maps.
LIGHT_FIRST = ("efficientnet-lite0", "mobilenetv3", "resnet18", "resnet50")
SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec("crnn-tiny", "recognition", "crnn",
                  "CRNN (tiny variant), 0.5 M parameters, 32x100 grey, CTC: trains in minutes on a CPU",
                  32, 100, 1, 32, 4, "ctc", 25, "lower36"),
        ModelSpec("crnn", "recognition", "crnn",
                  "CRNN (light variant), 2.8 M parameters, 32x128 grey, CTC: the base recogniser",
                  32, 128, 1, 32, 4, "ctc", 32, "ascii94"),
        ModelSpec("parseq-tiny", "recognition", "parseq",
                  "PARSeq (tiny), 6.0 M parameters, 32x128 RGB, autoregressive",
                  32, 128, 3, 4, 8, "ar", 25, "ascii94", lr=5e-4),
        ModelSpec("parseq", "recognition", "parseq",
                  "PARSeq (small), 23.8 M parameters, 32x128 RGB, autoregressive",
                  32, 128, 3, 4, 8, "ar", 25, "ascii94", lr=5e-4),
        ModelSpec("dbnet", "detection", "db", "DBNet, differentiable binarisation, 640x640 RGB: the base detector",
                  640, 640, 3, 1, 1, None, 0, "", size_multiple=32, backbones=LIGHT_FIRST),
        ModelSpec("dbnetpp", "detection", "db", "DBNet++, DBNet with adaptive scale fusion, 640x640 RGB",
                  640, 640, 3, 1, 1, None, 0, "", size_multiple=32, backbones=LIGHT_FIRST),
        ModelSpec("pan", "detection", "pan", "PAN, text kernels and pixel embeddings, 640x640 RGB",
                  640, 640, 3, 4, 4, None, 0, "", size_multiple=32, backbones=LIGHT_FIRST),
        ModelSpec("craft", "detection", "craft", "CRAFT, character regions and the links between them, 640x640 RGB",
                  640, 640, 3, 2, 2, None, 0, "", size_multiple=32, backbones=("vgg16bn",), lr=1e-4),
    )
}  # fmt: skip


def get_spec(name: str, width: int | None = None) -> ModelSpec:
    """Return the spec of architecture `name`, for pictures of another `width` in pixels where one is given. Raises
    UsageError, with the nearest name, when the name is unknown, and where the width does not suit."""
    if name in SPECS:
        return SPECS[name] if width is None else SPECS[name].at_width(width)
    raise UsageError(f"Unknown architecture {name!r}.{did_you_mean(name, SPECS)}", hint="ocrctl model list")
