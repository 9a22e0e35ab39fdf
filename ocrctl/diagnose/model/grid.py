"""Compare the feature grid of a model with the labels or words that it has to resolve. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import output_steps
from ocrctl.data.polygons.findings import Findings
from ocrctl.diagnose.checks import Check, fail, ok, warn
from ocrctl.text.tokenizer import CTCTokenizer

LONG = 95  # percentile of the label length that the grid must resolve
STEPS_PER_CHARACTER = 2.0  # CTC: a step for the character and, on average, one for the blank
COLUMNS_PER_CHARACTER = 1.0  # autoregressive: columns of features
DENSE_PIXELS = 16.0  # width or height of a syllable or ideograph in the input below which its strokes merge
DENSE = ((0x1100, 0x11FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF))  # Hangul and Han code points
LOST_WORDS = ("below-stride", "kernel-vanishes", "kernels-merge")  # rules of data.validate.detector_rules
LOST, MANY_LOST = 0.01, 0.25  # share of words below the cells of a detector, or left out: warning, failure
LEFT_OUT = "training leaves these labels out (data.bad_labels=skip), and the model never learns such words"


def word_grid(spec: ModelSpec, labels: Sequence[str], *, skips: bool = False) -> Check:
    """Compare output steps and feature columns of a recogniser with the NFC `labels`. `skips`: training leaves labels
    out that do not fit (data.bad_labels=skip), so that a few of them are a warning."""
    steps, columns = output_steps(spec), spec.input_width / spec.stride_w
    lengths = np.array([len(label) for label in labels])
    long = float(np.percentile(lengths, LONG))
    wider = "a wider input: --set model.width=..., or an architecture with a smaller stride (ocrctl model info)"
    seen = f"{spec.stride_h}x{spec.stride_w} pixels for each cell of a {spec.input_height}x{spec.input_width} input"
    if spec.tokenizer == "ctc":
        needed = np.array([CTCTokenizer.required_steps(label) for label in labels])
        over = int((needed > steps).sum())
        seen = f"{seen}, {steps} output steps; {LONG} % of {len(labels):,} labels have at most {long:g} characters"
        if over:
            detail = f"{seen}, {over:,} need more steps, up to {needed.max()}"
            if skips and over <= MANY_LOST * len(labels):
                return warn("grid", detail, wider, LEFT_OUT)
            return fail(
                "grid", detail, wider, "a coarse grid: CTC has no path for these labels, their loss is infinite"
            )
        if steps / max(long, 1) < STEPS_PER_CHARACTER:
            meaning = "a coarse grid: neighbouring characters fall into one step and are lost"
            return warn("grid", f"{seen}: {steps / max(long, 1):.1f} steps for each", wider, meaning)
    else:
        over = int((lengths > spec.max_label_length).sum())
        seen = f"{seen}, {columns:g} columns; {LONG} % of {len(labels):,} labels have at most {long:g} characters"
        if over:
            detail = f"{seen}, {over:,} are longer than {spec.max_label_length}"
            higher = "an architecture with a higher limit"
            if skips and over <= MANY_LOST * len(labels):
                return warn("grid", detail, higher, LEFT_OUT)
            return fail("grid", detail, higher, "the model cannot write these labels")
        if spec.stride_w < spec.input_width and columns / max(long, 1) < COLUMNS_PER_CHARACTER:
            meaning = "a coarse grid: several characters share one column of features"
            return warn("grid", f"{seen}: {columns / max(long, 1):.1f} columns for each", wider, meaning)
    return _script(spec, labels, long, wider) or ok("grid", seen)


def _script(spec: ModelSpec, labels: Sequence[str], long: float, wider: str) -> Check | None:
    """Return a warning where syllables or ideographs get too few pixels for their strokes."""
    codes = np.array([ord(char) for label in labels for char in label])
    dense = np.zeros(len(codes), bool)
    for low, high in DENSE:
        dense |= (codes >= low) & (codes <= high)
    pixels = min(float(spec.input_height), spec.input_width / max(long, 1))
    if not len(codes) or dense.mean() < 0.2 or spec.keeps_aspect or pixels >= DENSE_PIXELS:
        return None
    return warn(
        "grid",
        f"{dense.mean():.0%} of the characters are Hangul or Han; labels of {long:g} get {pixels:.0f} pixels for each",
        f"{wider}; or --set model.resize=keep",
        f"a coarse grid for the script: strokes merge below {DENSE_PIXELS:g} pixels",
    )


def page_grid(spec: ModelSpec, findings: Findings, words: int, size: tuple[int, int]) -> Check:
    """Compare the cells of a detector with the words of its data: `findings` of `dataset validate --for` at the
    training size (height, width) in pixels, for `words` annotated words."""
    assert spec.detector is not None
    lost = {name: len(findings.of(name)) for name in LOST_WORDS}
    share = len(findings.of(*lost)) / max(words, 1)
    seen = f"cells of {spec.detector.finest_stride:g} pixels, maps of {spec.detector.map_stride}"
    seen += f" at {size[1]}x{size[0]}; of {words:,} words "
    seen += ", ".join(f"{number:,} {name} ({number / max(words, 1):.1%})" for name, number in lost.items())
    fix = "a larger training image or zoom: --set page.height=... page.width=... page.zoom_min=..."
    if share > MANY_LOST:
        return fail("grid", seen, fix, "a coarse grid: these words have no target, or share one with their neighbour")
    if share > LOST:
        return warn("grid", seen, fix, "these words are lost where a page is scaled to the size of a training image")
    return ok("grid", seen)
