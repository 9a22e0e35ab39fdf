"""Number of output steps of a recogniser, and the longest label that fits them. Torch-free.

The steps of an input image follow from its width and the stride of the architecture: the same in training, inference
and export. models.ocr_model.OCRModel.steps_of computes them for a batch of widths.
"""

from __future__ import annotations

from ocrctl.config.model_spec import ModelSpec


def output_steps(spec: ModelSpec, width: int | None = None) -> int:
    """Return the number of output steps for an image `width` pixels wide (default: the input width, which is the
    maximum where the aspect ratio is kept).

    CTC has one step per `stride_w` columns. An autoregressive decoder has one per character and one for the end,
    whatever the width.
    """
    if spec.tokenizer == "ar":
        return spec.max_label_length + 1
    width = spec.input_width if width is None else width
    if spec.kept is not None and spec.keeps_aspect:
        steps = -(-spec.kept.counted(width) // spec.stride_w)  # rounded up: a step for the remaining columns, too
    else:
        steps = width // spec.stride_w
    return steps - spec.lost_steps


def width_for_steps(spec: ModelSpec, steps: int) -> int:
    """Return the width of the narrowest image that has `steps` output steps where the aspect ratio is kept; 0 where the
    steps do not follow the width of an image, or every image has as many."""
    if spec.kept is None or not spec.keeps_aspect or spec.tokenizer != "ctc" or output_steps(spec, 0) >= steps:
        return 0
    return max(1, (steps + spec.lost_steps) * spec.stride_w - spec.kept.margin)


def longest_label(spec: ModelSpec) -> int:
    """Return the length up to which every label fits: CTC needs a blank between repeats, so 2 n - 1 steps."""
    if spec.tokenizer == "ctc":
        return min(spec.max_label_length, (output_steps(spec) + 1) // 2)
    return spec.max_label_length
