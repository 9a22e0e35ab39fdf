"""Check a ModelSpec from a plug-in: types, ranges, and fields that depend on each other."""

from __future__ import annotations

from typing import Any

from ocrctl.config.card_rules import MAX_LABEL_LENGTH, MAX_SIDE, is_number
from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.config.model_spec import DetectorSpec, ModelSpec
from ocrctl.text.charset import BUILTIN

PAGE_MULTIPLE = 32  # pixels: the sides of every page are multiples of it


def spec_problems(spec: Any, family: str) -> list[str]:
    """Return what is wrong with one architecture of `family`, each as `FIELD should be WHAT, found VALUE`."""
    if not isinstance(spec, ModelSpec):
        return [f"specs should hold ModelSpec, found {type(spec).__name__}"]
    found: list[str] = []

    def expect(name: str, fits: bool, expected: str, value: Any = None) -> None:
        if not fits:
            shown = getattr(spec, name) if value is None else value
            found.append(f"{name} should be {expected}, found {str(shown)[:60]!r}")

    expect("family", spec.family == family, repr(family))
    expect("task", spec.task in ("recognition", "detection"), "recognition or detection")
    for name in ("input_height", "input_width", "stride_h", "stride_w", "min_height", "min_width", "size_multiple"):
        expect(name, _whole(getattr(spec, name), 1, MAX_SIDE), "a whole number of pixels from 1")
    expect("lr", is_number(spec.lr) and spec.lr > 0, "a number above 0")
    if spec.fine_tune_lr is not None:
        expect("fine_tune_lr", is_number(spec.fine_tune_lr) and spec.fine_tune_lr > 0, "None or a number above 0")
    expect("summary", isinstance(spec.summary, str) and bool(spec.summary), "a short text")
    if found:
        return found
    if spec.task == "detection":
        expect("tokenizer", spec.tokenizer is None, "None for a detector")
        expect("channels", spec.channels == 3, "3 for a detector")
        expect("size_multiple", PAGE_MULTIPLE % spec.size_multiple == 0, f"a divisor of {PAGE_MULTIPLE}")
        expect("detector", isinstance(spec.detector, DetectorSpec), "a DetectorSpec")
        if isinstance(spec.detector, DetectorSpec):
            found += _detector_problems(spec.detector)
        return found
    expect("tokenizer", spec.tokenizer in ("ctc", "ar"), "'ctc' or 'ar' for a recogniser")
    expect("channels", spec.channels in (1, 3), "1 or 3")
    expect("max_label_length", _whole(spec.max_label_length, 1, MAX_LABEL_LENGTH), "a whole number from 1")
    expect("default_charset", spec.default_charset in BUILTIN, f"one of {', '.join(BUILTIN)}")
    both = ("stretch", "keep")
    expect("resizes", spec.resizes in (both[:1], both[1:], both, both[::-1]), "('stretch',), ('keep',) or both")
    expect("kept", (spec.kept is not None) == ("keep" in spec.resizes), "set where resizes holds 'keep', else None")
    if spec.kept is not None:
        found += _kept_problems(spec)
    expect("input_width", spec.input_width % spec.stride_w == 0, f"a multiple of stride_w ({spec.stride_w})")
    expect("detector", spec.detector is None, "None for a recogniser")
    attentions = ("", "cross") if spec.tokenizer == "ar" else ("", "self")
    expect("attention", spec.attention in attentions, " or ".join(map(repr, attentions)))
    expect("decodings", bool(spec.decodings) == (spec.tokenizer == "ar"), "such as ('ar',) with tokenizer 'ar' alone")
    return found


def _kept_problems(spec: ModelSpec) -> list[str]:
    kept = spec.kept
    if not isinstance(kept, KeptAspect):
        return [f"kept should be a KeptAspect, found {type(kept).__name__}"]
    if problem := kept.problem():
        return [f"kept.{problem}"]
    if kept.max_width % spec.stride_w or kept.multiple % spec.stride_w:
        return [f"kept.max_width and kept.multiple should be multiples of stride_w ({spec.stride_w})"]
    if spec.keeps_aspect and spec.input_width != kept.max_width:
        return [f"input_width should be kept.max_width ({kept.max_width}), found {spec.input_width}"]
    return []


def _detector_problems(spec: DetectorSpec) -> list[str]:
    found = []
    if not spec.maps or not set(spec.maps.values()) <= {"sigmoid", "linear"}:
        found.append(f"detector.maps should be map names with 'sigmoid' or 'linear', found {dict(spec.maps)}")
    if not _whole(spec.map_stride, 1, PAGE_MULTIPLE) or PAGE_MULTIPLE % spec.map_stride:
        found.append(f"detector.map_stride should be a divisor of {PAGE_MULTIPLE}, found {spec.map_stride!r}")
    if not is_number(spec.finest_stride) or spec.finest_stride <= 0:
        found.append(f"detector.finest_stride should be a number above 0, found {spec.finest_stride!r}")
    if spec.score_threshold not in spec.thresholds:
        found.append(f"detector.score_threshold should be one of thresholds, found {spec.score_threshold!r}")
    return found


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
