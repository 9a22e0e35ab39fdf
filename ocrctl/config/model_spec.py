"""What data commands must know of an architecture, without importing torch: sizes, strides, steps, charset kind."""

from __future__ import annotations

from dataclasses import dataclass
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

    def output_steps(self, width: int | None = None) -> int:
        """Number of output time steps for an input `width` pixels wide (default: the model's own input width)."""
        return (self.input_width if width is None else width) // self.stride_w


DEFAULT_ARCH = "crnn-tiny"

# One line per architecture. CRNN: Shi, Bai, Yao, "An End-to-End Trainable Neural Network for Image-based Sequence
# Recognition", 2015 (32x100 grey input, one output step per 4 columns).
SPECS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec("crnn-tiny", "recognition", "crnn",
                  "CRNN, about 0.5 M parameters, 32x100 grey, CTC: trains in minutes on a CPU",
                  32, 100, 1, 32, 4, "ctc", 25, "lower36"),
        ModelSpec("crnn", "recognition", "crnn", "CRNN, about 3 M parameters, 32x128 grey, CTC: the base recogniser",
                  32, 128, 1, 32, 4, "ctc", 32, "ascii94"),
    )
}  # fmt: skip


def get_spec(name: str) -> ModelSpec:
    """Return the spec of architecture `name`. Raises UsageError, with the nearest name, when it is unknown."""
    if name in SPECS:
        return SPECS[name]
    raise UsageError(f"Unknown architecture {name!r}.{did_you_mean(name, SPECS)}", hint="ocrctl model list")
