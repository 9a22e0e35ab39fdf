"""What is known of an architecture without importing torch: sizes, strides, output steps, tokenizer, maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ocrctl.errors import UsageError

Task = Literal["recognition", "detection"]
TokenizerKind = Literal["ctc", "ar"]


@dataclass(frozen=True)
class DetectorSpec:
    """How the maps of a detector are read; sizes in pixels of the network's input.

    maps: the outputs that polygons are found on, in the order in which the family's `find_polygons` takes them, each
    with the function that its values go through first. thresholds: those of a new model, by name; every score that is
    given out has passed `score_threshold`. finest_stride: pixels for each cell of the finest features; map_stride: for
    each cell of the maps. shrink_ratio: of the kernels that it learns, None where it has none.
    """

    maps: Mapping[str, Literal["sigmoid", "linear"]]
    map_stride: int
    finest_stride: float
    thresholds: Mapping[str, float]
    score_threshold: str
    shrink_ratio: float | None = None


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
    tokenizer: TokenizerKind | None  # None: a detector
    max_label_length: int
    default_charset: str
    min_height: int = 8
    min_width: int = 8
    lr: float = 1e-3  # peak learning rate of AdamW unless a profile, a variable or a flag names one
    size_multiple: int = 1  # both sides of an input must be multiples of this many pixels
    backbones: tuple[str, ...] = ()  # what model.backbone may name, the default first
    detector: DetectorSpec | None = None
    options: tuple[str, ...] = ("dropout",)  # settings `model.*` of a recogniser that its card keeps for the builder
    decodings: tuple[str, ...] = ()  # how `generate` can read, the default first: "ar", "nar"; empty: no `generate`
    plugin: str | None = None  # set by the registry: the name of the plug-in that brings it

    @property
    def generates(self) -> bool:
        """Whether it reads by `generate`, as an autoregressive decoder does."""
        return bool(self.decodings)

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
        if self.tokenizer == "ctc":
            longest = max(1, longest * width // self.input_width)
        return replace(self, input_width=width, max_label_length=longest)

    def output_steps(self, width: int | None = None) -> int:
        """Number of output steps for an input `width` pixels wide (default: the model's own input width); an
        autoregressive decoder has one for each character and one for the end, however wide the picture."""
        if self.tokenizer == "ar":
            return self.max_label_length + 1
        return (self.input_width if width is None else width) // self.stride_w

    def longest_label(self) -> int:
        """Length up to which every label fits: CTC needs a blank between equal neighbours, so 2 n - 1 steps."""
        if self.tokenizer == "ctc":
            return min(self.max_label_length, (self.output_steps() + 1) // 2)
        return self.max_label_length
