"""Torch-free facts of an architecture: sizes, strides, output steps, tokenizer, maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import lcm
from typing import Literal

from ocrctl.config.feature_grid import (
    OWN,
    STAGES,
    Strides,
    default_strides,
    format_strides,
    parse_strides,
    total_stride,
)
from ocrctl.config.kept_aspect import TALL, KeptAspect, Resize, Tall
from ocrctl.errors import UsageError

Task = Literal["recognition", "detection"]
TokenizerKind = Literal["ctc", "ar"]


@dataclass(frozen=True)
class DetectorSpec:
    """The output maps of a detector and their thresholds; sizes in pixels of the network input.

    maps: outputs that polygons are found on, in the order of the arguments of the family's `find_polygons`, each with
    its activation. thresholds: defaults by name; every returned score is at least `score_threshold`. finest_stride:
    pixels per cell of the finest features; map_stride: per cell of the maps. shrink_ratio: of the learned kernels, None
    without kernels. mean, std: of x / 255 in RGB, as the weights of its own backbone expect them; None: the backbone's
    (`config.detection_card`).
    """

    maps: Mapping[str, Literal["sigmoid", "linear"]]
    map_stride: int
    finest_stride: float
    thresholds: Mapping[str, float]
    score_threshold: str
    shrink_ratio: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


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
    lr: float = 1e-3  # default peak learning rate of AdamW
    fine_tune_lr: float | None = None  # the same with --from; None: lr
    warmup_steps: int | None = None  # default warm-up in optimiser steps; None: train.warmup, a share of the run
    size_multiple: int = 1  # pixels; both sides of an input must be multiples of it
    backbones: tuple[str, ...] = ()  # supported values of model.backbone, the default first
    strides: Strides = ()  # of a recogniser's features with the default backbone; empty: they cannot be set
    chosen: tuple[tuple[str, str], ...] = ()  # model.backbone and model.strides where other than the defaults
    detector: DetectorSpec | None = None
    options: tuple[str, ...] = ("dropout",)  # settings `model.*` that the card keeps for the builder
    decodings: tuple[str, ...] = ()  # how `generate` can read, the default first: "ar", "nar"; empty: no `generate`
    resizes: tuple[Resize, ...] = ("stretch",)  # supported values of model.resize, the default first
    kept: KeptAspect | None = None  # widths for model.resize=keep; None: not supported
    attention: Literal["", "cross", "self"] = ""  # of a recogniser: of characters to the image, of CTC's output steps
    lost_steps: int = 0  # last output steps that are always blank, as after a convolution without padding (CTC)
    plugin: str | None = None  # set by the registry: the name of the plug-in that defines it

    @property
    def generates(self) -> bool:
        """Return whether it predicts with `generate`, as an autoregressive decoder."""
        return bool(self.decodings)

    @property
    def resize(self) -> Resize:
        """Return how images are resized to the input."""
        return self.resizes[0]

    @property
    def keeps_aspect(self) -> bool:
        """Return whether the input has a fixed height and a width that depends on the image; input_width is the
        maximum."""
        return self.resize == "keep"

    @property
    def grid(self) -> tuple[int, int]:
        """Return rows and columns of the features of an input image, of one `input_width` pixels wide."""
        return max(1, self.input_height // self.stride_h), self.input_width // self.stride_w

    def with_features(self, backbone: str = "auto", strides: str | None = None) -> ModelSpec:
        """Return the spec of a recogniser for model.backbone=`backbone` and model.strides=`strides`; `backbones` and
        `strides` then hold what was chosen. A backbone reads RGB, and images of one size only.

        Raises UsageError when the architecture does not support them, and when the grid of features would be too coarse
        for its labels. A detector, whose strides cannot be set, is returned as it is.
        """
        if strides is not None and not self.strides:
            raise UsageError(f"model.strides: the strides of {self.name} cannot be set.")
        if self.task == "detection":
            return self
        chosen = self.choose_backbone(backbone)
        if chosen is None or (chosen == self.backbones[0] and strides is None):
            return self if chosen is None else replace(self, backbones=(chosen,))
        stages = len(self.strides) if chosen == OWN else STAGES[chosen]
        if strides is not None:
            pattern = parse_strides(strides, stages, self.name if chosen == OWN else chosen)
        else:
            down, right = total_stride(self.strides)
            pattern = default_strides(stages, self.input_height if self._collapses else down, right)
        return self._at_strides(chosen, pattern)

    @property
    def _collapses(self) -> bool:
        """Whether its features are joined to one row."""
        return self.stride_h == self.input_height

    def _at_strides(self, backbone: str, pattern: Strides) -> ModelSpec:
        down, right = total_stride(pattern)
        chosen = {"strides": format_strides(pattern), **({} if backbone == OWN else {"backbone": backbone})}
        found = replace(
            self, backbones=(backbone,), strides=pattern, chosen=tuple(chosen.items()),
            stride_h=self.stride_h if self._collapses else down, stride_w=right, min_width=max(self.min_width, right),
        )  # fmt: skip
        if down > self.input_height:
            raise UsageError(
                f"model.strides {format_strides(pattern)}: they divide the {self.input_height} rows of {self.name} by "
                f"{down}, which leaves none.",
                hint="use fewer strides of 2 down, such as 1x1 for 2x1",
            )
        rows, columns = found.grid
        cells = columns - self.lost_steps if self.tokenizer == "ctc" else rows * columns
        if cells < self.max_label_length:
            raise UsageError(
                f"model.strides {format_strides(pattern)}: the features of {self.name} are then a grid of {rows} x "
                f"{columns} cells, too coarse for labels of {self.max_label_length} characters.",
                hint="use fewer strides of 2 to the right, such as 2x1 for 2x2",
            )
        if backbone != OWN:
            return replace(found, channels=3, resizes=("stretch",), kept=None)
        if self.kept is not None:
            kept = replace(
                self.kept, multiple=lcm(self.kept.multiple, right), min_width=max(self.kept.min_width, right)
            )
            found = replace(found, kept=kept)
        return found

    def choose_backbone(self, name: str) -> str | None:
        """Return `name`, or for "auto" the default; None when the architecture has only its own backbone. Raises
        UsageError for an unsupported one."""
        if name == "auto":
            return self.backbones[0] if self.backbones else None
        if not self.backbones:
            raise UsageError(f"model.backbone: {self.name} has its own backbone and does not support {name}.")
        if name not in self.backbones:
            raise UsageError(f"model.backbone: {self.name} supports {', '.join(self.backbones)}, not {name}.")
        return name

    def with_resize(self, resize: Resize) -> ModelSpec:
        """Return the spec for model.resize=`resize`; to keep the aspect ratio, input_width becomes the maximum width,
        and to stretch where it was kept, four times the height. Raises UsageError when the architecture does not
        support it."""
        if resize == self.resize:
            return self
        if resize not in self.resizes:
            what = "pages have settings of their own (page.side)" if self.task == "detection" else (
                f"{self.name} supports only {' and '.join(self.resizes)}"
            )  # fmt: skip
            raise UsageError(f"model.resize={resize}: {what}.")
        assert self.kept is not None
        width = self.kept.max_width if resize == "keep" else 4 * self.input_height
        return replace(self, resizes=(resize,)).at_width(width)

    def with_tall(self, tall: Tall) -> ModelSpec:
        """Return the spec for model.tall=`tall`. Raises UsageError for `turn` where the aspect ratio is not kept."""
        if self.kept is None or not self.keeps_aspect:
            if tall == "upright":
                return self
            keep = f"--set model.resize=keep, which {self.name} supports" if self.kept else "model.tall=upright"
            raise UsageError(f"model.tall={tall}: requires a recogniser that keeps the aspect ratio.", hint=keep)
        ratio = 0.0 if tall == "upright" else self.kept.tall or TALL
        return replace(self, kept=replace(self.kept, tall=ratio))

    def at_width(self, width: int) -> ModelSpec:
        """Return the spec for images `width` pixels wide, or at most as wide where the aspect ratio is kept; with CTC
        the maximum label length scales with it. Raises UsageError for a detector, and for a width that is not a
        multiple of the stride."""
        if self.task == "detection":
            raise UsageError(
                f"model.width: {self.name} supports pages of any size.", hint="page.width sets its training size"
            )
        if width < self.min_width or width % self.stride_w:
            raise UsageError(
                f"model.width: {self.name} requires a multiple of {self.stride_w} pixels, at least {self.min_width}, "
                f"found {width}."
            )
        longest = self.max_label_length
        if self.tokenizer == "ctc":
            longest = max(1, longest * width // self.input_width)
        kept = self.kept
        if kept is not None and self.keeps_aspect:
            if width < max(kept.min_width, self.min_width):
                raise UsageError(f"model.width: {self.name} requires at least {kept.min_width} pixels, found {width}.")
            kept = replace(kept, max_width=width)
        return replace(self, input_width=width, max_label_length=longest, kept=kept)
