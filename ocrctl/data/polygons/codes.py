"""Findings of `dataset validate` by stable code: severity, message and fix (docs/reference/codes.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
Subject = Literal["instance", "image"]
Fix = Literal["clamp", "repair", "remove", ""]  # the flag of `dataset clean` that fixes it; "": none


@dataclass(frozen=True)
class Code:
    """One code. `message` holds {value} where the rule measures something and {note} where it adds a detail."""

    code: str
    name: str
    severity: Severity
    on: Subject
    fix: Fix
    message: str


_ALL = (
    Code("P001", "too-few-points", "error", "instance", "remove", "the polygon has {value:.0f} points, 3 are needed"),
    Code("P002", "not-finite", "error", "instance", "remove", "a coordinate is NaN, infinite or beyond 1e7"),
    Code("P003", "no-area", "error", "instance", "remove", "the polygon has an area of {value:.2f} square pixels"),
    Code("P004", "tiny", "warning", "instance", "", "the polygon is {value:.1f} pixels high, too small to read"),
    Code("P005", "self-intersecting", "error", "instance", "repair", "the polygon intersects itself"),
    Code("P006", "repeated-points", "warning", "instance", "repair", "{value:.0f} points equal the point before"),
    Code("P007", "counter-clockwise", "warning", "instance", "repair", "the points are in counter-clockwise order"),
    Code("P008", "start-not-top-left", "info", "instance", "",
         "the first point of the quad is point {value:.0f} clockwise from its top left"),
    Code("P009", "spike", "warning", "instance", "repair", "the polygon has a spike: it turns back on itself"),
    Code("P010", "out-of-bounds", "error", "instance", "clamp",
         "the polygon extends {value:.1f} pixels beyond the image"),
    Code("P011", "outside", "error", "instance", "remove", "the polygon is completely outside the image"),
    Code("P012", "box-too-large", "warning", "instance", "",
         "the box is {value:.1f} times longer than its text can be"),
    Code("P020", "duplicate", "warning", "instance", "remove", "it equals an earlier polygon of this image{note}"),
    Code("P021", "overlap", "warning", "instance", "",
         "its intersection over union with an earlier polygon of this image is {value:.0%}"),
    Code("I001", "missing", "error", "image", "remove", "{note}"),
    Code("I002", "unreadable", "error", "image", "remove", "{note}"),
    Code("I003", "truncated", "error", "image", "remove", "{note}"),
    Code("I004", "empty-file", "error", "image", "remove", "{note}"),
    Code("I005", "size-differs", "error", "image", "repair", "{note}"),
    Code("I006", "exif-frame", "error", "image", "repair",
         "the labels match the image before its EXIF rotation, {note}"),
    Code("I007", "exif-orientation", "warning", "image", "",
         "EXIF rotates the image ({note}) and the labels fit both ways: check them"),
    Code("I008", "extreme-aspect", "warning", "image", "", "the image has an aspect ratio of {value:.0f}"),
    Code("I009", "same-file", "warning", "image", "", "the file is identical to that of {note}"),
    Code("I010", "same-picture", "warning", "image", "", "the image is nearly identical to {note}"),
    Code("I011", "in-both-sets", "error", "image", "", "the image is also in the other set: {note}"),
    Code("I012", "listed-twice", "error", "image", "remove", "the image is already listed, as {note}"),
    Code("I013", "all-ignored", "warning", "image", "", "all instances of the image are ignored: nothing to train on"),
    Code("I014", "not-checked", "warning", "image", "", "the page is not marked done in fileState.txt"),
    Code("I015", "no-instances", "info", "image", "", "the image has no instances"),
    Code("I016", "too-large", "error", "image", "remove", "{note}"),
    Code("I017", "several-pages", "warning", "image", "",
         "the TIFF has {value:.0f} pages; the labels apply to the first, the others are not read"),
    Code("T001", "empty-text", "error", "instance", "remove", "the text is empty and not marked as ignored"),
    Code("T002", "control-character", "error", "instance", "repair", "the text holds {note}"),
    Code("T003", "replacement-character", "error", "instance", "remove",
         "the text holds U+FFFD: it was decoded with errors"),
    Code("T004", "mojibake", "warning", "instance", "repair", "the text is UTF-8 decoded as Latin: probably {note}"),
    Code("T005", "not-nfc", "warning", "instance", "repair", "the text is not Unicode NFC"),
    Code("T006", "look-alike", "warning", "instance", "", "the text mixes scripts: {note}"),
    Code("T007", "edge-spaces", "warning", "instance", "repair", "the text starts or ends with whitespace"),
    Code("T008", "text-too-long", "warning", "instance", "",
         "the box leaves {value:.2f} times the text's height for each character"),
    Code("T009", "placeholder", "error", "instance", "remove", "the text {note} is an annotation tool's placeholder"),
    Code("T010", "points-in-text", "warning", "instance", "",
         "the text starts with numbers ({note}): are they points beyond those the format supports?"),
    Code("T011", "mojibake-cut", "error", "instance", "remove",
         "the text is UTF-8 decoded as Latin with missing bytes: {note} remains"),
    Code("T012", "question-marks", "error", "instance", "remove",
         "question marks replace characters that an encoding could not represent"),
    Code("F001", "bad-points", "error", "instance", "remove", "{note}"),
    Code("F002", "bad-text", "error", "instance", "remove", "{note}"),
    Code("F003", "bad-entry", "error", "instance", "remove", "{note}"),
    Code("M001", "too-many-steps", "error", "instance", "", "the text needs {value:.0f} output steps, {note}"),
    Code("M002", "unknown-character", "error", "instance", "", "the charset lacks {note}"),
    Code("M003", "over-length-limit", "error", "instance", "", "the text has {value:.0f} characters, {note}"),
    Code("M004", "squeezed", "warning", "instance", "",
         "at the model's input a character is {value:.1f} pixels wide, less than one output step"),
    Code("M005", "too-low", "warning", "instance", "", "the text is {value:.1f} pixels high, {note}"),
    Code("M006", "below-stride", "warning", "instance", "",
         "at the training size the text is {value:.1f} pixels high, {note}"),
    Code("M007", "kernel-vanishes", "warning", "instance", "",
         "at the training size the kernel is {value:.1f} cells thick, {note}"),
    Code("M008", "kernels-merge", "warning", "instance", "",
         "at the training size its kernel and another are {value:.1f} cells apart, {note}"),
)  # fmt: skip
CODES: dict[str, Code] = {code.code: code for code in _ALL}
BY_NAME: dict[str, Code] = {code.name: code for code in _ALL}
