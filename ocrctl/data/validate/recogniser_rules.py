"""Rules for a recogniser: whether it can learn each label. Torch-free: ModelSpec holds the facts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import output_steps
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.polygons.columns import Floats
from ocrctl.data.polygons.findings import Findings
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import CTCTokenizer

LOWEST = 8.0  # pixels; text of a lower height is only a blur when stretched


def check_target(
    findings: Findings, data: Annotations, spec: ModelSpec, charset: Charset, heights: Floats, widths: Floats
) -> None:
    """Add findings for labels that recogniser `spec` cannot learn. heights, widths: (N,) of the words in pixels, NaN
    unknown.

    Words are stretched to the model's input, so steps and widths do not depend on the image, or their aspect ratio is
    kept; then training widens an image as far as its label needs, up to the maximum width, and may turn vertical text.
    """
    heights, widths = _turned(data.texts, spec, heights, widths)
    shown = input_widths(spec, heights, widths)
    steps = output_steps(spec)
    known = set(charset)
    lacking: list[int] = []
    lacking_notes: list[str] = []
    needs: list[tuple[int, float]] = []
    long: list[tuple[int, float]] = []
    narrow: list[tuple[int, float]] = []
    for index, raw in enumerate(data.texts):
        if data.ignore[index] or not raw:
            continue
        text = normalize_label(raw)
        if not known.issuperset(text):
            lacking.append(index)
            lacking_notes.append(", ".join(f"{char!r}" for char in dict.fromkeys(text) if char not in known))
        if len(text) > spec.max_label_length:
            long.append((index, len(text)))
        elif spec.tokenizer == "ctc" and CTCTokenizer.required_steps(text) > steps:
            needs.append((index, CTCTokenizer.required_steps(text)))
        elif shown[index] / len(text) < spec.stride_w:
            narrow.append((index, shown[index] / len(text)))
    findings.add("unknown-character", lacking, None, lacking_notes)
    limit = f"the limit of {spec.name} is {spec.max_label_length}"
    findings.add("over-length-limit", *_columns(long), [limit] * len(long))
    findings.add("too-many-steps", *_columns(needs), [f"{spec.name} has {steps}"] * len(needs))
    findings.add("squeezed", *_columns(narrow))
    with np.errstate(invalid="ignore"):
        low = np.flatnonzero((heights < LOWEST) & ~data.ignore)
    findings.add("too-low", low, heights[low], [f"{spec.name} reads {spec.input_height}: mostly upscaled"] * len(low))


def _turned(texts: Sequence[str], spec: ModelSpec, heights: Floats, widths: Floats) -> tuple[Floats, Floats]:
    """Return heights and widths (N,) of words as training shows them: vertical text is turned where the model does."""
    kept = spec.kept
    if kept is None or not spec.keeps_aspect or not kept.tall:
        return heights, widths
    with np.errstate(invalid="ignore"):
        tall = np.flatnonzero((widths > 0) & (heights >= kept.tall * widths))
    rows = [row for row in tall.tolist() if len(normalize_label(texts[row])) > 1]
    heights, widths = heights.copy(), widths.copy()
    heights[rows], widths[rows] = widths[rows], heights[rows]
    return heights, widths


def input_widths(spec: ModelSpec, heights: Floats, widths: Floats) -> Floats:
    """Return the width (N,) that words have in the input of `spec`, in pixels; the input width where it is unknown."""
    kept = spec.kept
    if kept is None or not spec.keeps_aspect:
        return np.full(len(heights), float(spec.input_width))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.clip(np.round(widths * spec.input_height / heights), kept.min_width, kept.max_width)
    return np.where(np.isfinite(found), np.maximum(found + kept.margin, kept.pad_to), float(spec.input_width))


def _columns(pairs: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [index for index, _ in pairs], [value for _, value in pairs]
