"""Rules for the texts of annotations: errors that a recogniser would learn."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.polygons.codes import BY_NAME, Code
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.validate.mojibake import lost_bytes, unmojibake
from ocrctl.text.normalize import normalize_label

PLACEHOLDERS = ("TEMPORARY", "待识别")  # PPOCRLabel's text of a box that is not annotated yet

_UNKNOWN = "???"  # shortest replacement of text that an encoding could not represent; searched first
_INSTEAD = re.compile(r"\?{3}[^\W_]")  # before a letter or digit they are not punctuation
_AFTER_POINTS = ("icdar13", "icdar15", "sroie")
_POINTS = re.compile(r"(?:-?\d+(?:\.\d+)?\s*,\s*-?\d+(?:\.\d+)?\s*,)+(?=.)")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?![\d,])")  # 1,000,000
_TOGETHER = 1 << 11  # texts checked as one array of bytes
_SCRIPTS = {"LATIN": "Latin", "CYRILLIC": "Cyrillic", "GREEK": "Greek"}
# Letters of other scripts that look like Latin ones (a part of Unicode's confusables, UTS #39).
_LOOK_ALIKE = dict(
    zip("АВЕКМНОРСТУХаеорсухіјѕԁɡΑΒΕΖΗΙΚΜΝΟΡΤΥΧοѵԛԝ", "ABEKMHOPCTYXaeopcyxijsdgABEZHIKMNOPTYXovqw", strict=True)
)


@dataclass
class _Columns:
    indices: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, index: int, note: str = "") -> None:
        self.indices.append(index)
        self.notes.append(note)


def check_texts(findings: Findings, data: Annotations) -> None:
    """Add findings for the texts of all instances that are not ignored. Formats without texts are skipped."""
    if not any(data.texts):
        return
    found: dict[str, _Columns] = {}
    lines = data.format in _AFTER_POINTS
    for start in range(0, len(data), _TOGETHER):
        for index in suspects(data.texts[start : start + _TOGETHER], lines):
            if not data.ignore[start + index]:
                for name, note in text_problems(data.texts[start + index], lines):
                    if name == "points-in-text" and not _beside(note, data.polygon(start + index)):
                        continue
                    found.setdefault(name, _Columns()).add(start + index, note)
    for name, columns in found.items():
        findings.add(name, columns.indices, None, columns.notes if any(columns.notes) else None)


def _beside(numbers: str, points: NDArray[np.float64]) -> bool:
    """Whether `numbers`, alternating x and y, are within the length of the box around `points` (n, 2) from it."""
    found = np.array(re.findall(r"-?\d+(?:\.\d+)?", numbers), np.float64).reshape(-1, 2)
    with np.errstate(invalid="ignore"):  # infinite points: False
        reach = np.ptp(points, axis=0).max()
        return bool(np.all((found >= points.min(0) - reach) & (found <= points.max(0) + reach)))


def _is_clean(text: str, lines: bool) -> bool:
    if (lines and _POINTS.match(text)) or _UNKNOWN in text:
        return False
    return text.isascii() and text.isprintable() and text.strip() == text != "" and text not in PLACEHOLDERS


def suspects(texts: Sequence[str], lines: bool = False) -> list[int]:
    """Return the indices of all `texts` that may have a problem: not printable ASCII, empty, a placeholder, with `???`,
    with a space at an end or, for `lines` whose text follows points, starting like numbers with commas."""
    content = "\n".join(["", *texts, ""]).encode(errors="surrogatepass")
    data = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    letters = np.flatnonzero((data - np.uint8(ord(" "))) > ord("~") - ord(" "))  # bytes below " " wrap around
    crowded = len(letters) > len(ends) + len(texts)  # another script: checking one by one is as fast
    if crowded or len(ends) != len(texts) + 1 or any(mark.encode() in content for mark in (*PLACEHOLDERS, _UNKNOWN)):
        return [i for i, text in enumerate(texts) if not _is_clean(text, lines)]
    before, behind = data[ends[1:] - 1], data[ends[:-1] + 1]
    suspect = (before == ord(" ")) | (behind == ord(" ")) | (behind == ord("\n"))
    if len(letters) > len(ends):
        suspect[np.searchsorted(ends, letters[data[letters] != ord("\n")]) - 1] = True
    if lines:
        commas = np.searchsorted(ends, np.flatnonzero(data == ord(","))) - 1
        several = commas[1:][commas[1:] == commas[:-1]]
        suspect[several[behind[several] <= ord("9")]] = True
    chosen: list[int] = np.flatnonzero(suspect).tolist()
    return chosen


def text_problems(text: str, line: bool = False) -> list[tuple[str, str]]:
    """Return (name of the code, note) of every problem of one text; `line`: it follows points on a line."""
    if not text.strip():
        return [("empty-text", "")]
    problems = []
    if text in PLACEHOLDERS:
        problems.append(("placeholder", repr(text)))
    controls = [char for char in text if unicodedata.category(char) in ("Cc", "Cs")]
    if controls:
        problems.append(("control-character", f"U+{ord(controls[0]):04X}, a control character"))
    if "\ufffd" in text:
        problems.append(("replacement-character", ""))
    if original := unmojibake(text):
        problems.append(("mojibake", repr(original)))
    elif left := lost_bytes(text):
        problems.append(("mojibake-cut", repr(left)))
    if question_marks(text):
        problems.append(("question-marks", ""))
    if normalize_label(text) != text:
        problems.append(("not-nfc", ""))
    if mixed := look_alikes(text):
        problems.append(("look-alike", mixed))
    if text != text.strip():
        problems.append(("edge-spaces", ""))
    if line and (points := _POINTS.match(text)) and not _THOUSANDS.match(text):
        problems.append(("points-in-text", repr(points[0])))
    return problems


def text_errors(text: str) -> list[Code]:
    """Return the errors of a text that is not ignored."""
    plain = text.isprintable() and text.strip() and text not in PLACEHOLDERS
    garbled = not text.isascii() and (lost_bytes(text) or question_marks(text))
    if plain and not garbled and "\ufffd" not in text and _UNKNOWN not in text:
        return []
    codes = [BY_NAME[name] for name, _ in text_problems(text)]
    return [code for code in codes if code.severity == "error"]


def has_error(text: str) -> bool:
    """Return whether a text that is not ignored has an error."""
    return bool(text_errors(text))


def repaired_text(text: str) -> str:
    """Return `text` without control characters, mojibake undone, trimmed, in NFC."""
    clean = "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cs"))
    return normalize_label((unmojibake(clean) or clean).strip())


def question_marks(text: str) -> bool:
    """Return whether question marks replace characters that an encoding could not represent: four and nothing else, or
    three before a letter or digit; or U+FFFD that was decoded as GBK."""
    if set(text) <= {"?", "？", " "}:
        return text.count("?") + text.count("？") >= 4
    return _INSTEAD.search(text) is not None or "锟斤拷" in text


def look_alikes(text: str) -> str:
    """Describe letters of another script within a Latin word, "" when there are none."""
    if text.isascii():
        return ""
    for word in text.split():
        scripts = {_script(char) for char in word if char.isalpha()} - {""}
        if "Latin" not in scripts or len(scripts) < 2:
            continue
        suspect = [char for char in word if char in _LOOK_ALIKE and _script(char) != "Latin"]
        if suspect:
            plain = "".join(_LOOK_ALIKE.get(char, char) for char in word)
            first = suspect[0]
            return f"{_script(first)} {first!r} (U+{ord(first):04X}) in {word!r}, which looks like {plain!r}"
    return ""


def _script(char: str) -> str:
    return _SCRIPTS.get(unicodedata.name(char, "").partition(" ")[0], "")
