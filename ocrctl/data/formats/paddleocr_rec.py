"""PaddleOCR recognition, `rec_gt.txt`: a path below the label file's folder, TAB, the text; UTF-8.

    train/word_1.png<TAB>JOINT
    ["train/a.png", "train/b.png"]<TAB>JOINT        several images of one text: each becomes a sample

The text is everything after the first TAB. Lines whose text is a JSON list of objects with "points" are PaddleOCR's
detection format, another file.
https://github.com/PaddlePaddle/PaddleOCR/blob/main/docs/datasets/ocr_datasets.en.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ocrctl.data.formats._text import (
    IMAGE_SUFFIX,
    NO_SAMPLE,
    WordKeeps,
    edit_lines,
    most_lines_fit,
    nfc_labels,
    read_text,
    single_line,
    write_images,
    write_label_file,
)
from ocrctl.data.lmdb.word_source import FolderWords, image_path
from ocrctl.data.polygons.malformed import ENTRY, Malformed

NAME = "paddleocr-rec"
LABEL_FILES = ("rec_gt.txt", "rec_gt*.txt")
KEEPS = WordKeeps(names=True, line_breaks=False)

_EXPECTED = "IMAGE<TAB>TEXT"
_LINE = re.compile(rf'(?:[^\t]*{IMAGE_SUFFIX}|\[\s*".*"\s*\])\t(?!\[\s*\{{.*"points")', re.IGNORECASE)


def sniff(path: Path) -> bool:
    return most_lines_fit(path, _LINE.match)


def read(path: Path) -> FolderWords:
    words = read_text(path, _parse, _EXPECTED)
    if not any(file.startswith("[") for file in words.files):
        return words
    files: list[str] = []
    texts: list[str] = []
    lines: list[int] = []
    bad: dict[int, Malformed] = {}
    for index, (file, text, line) in enumerate(zip(words.files, words.texts, words.lines or (), strict=True)):
        names = _images(file) if file.startswith("[") else [file]
        if words.malformed and index in words.malformed:
            bad[len(files)] = words.malformed[index]
        elif not names:
            bad[len(files)] = Malformed(
                ENTRY, f"expected a JSON list of image paths before the TAB, found {file[:60]!r}"
            )
            names, text = [NO_SAMPLE[0]], NO_SAMPLE[1]
        files += names
        texts += [text] * len(names)
        lines += [line] * len(names)
    return FolderWords(words.label_file, words.root, files, *nfc_labels(texts, lines), malformed=bad or None)


def write(samples: Iterable[tuple[bytes, str]], out: Path, names: Sequence[str] | None = None) -> Path:
    lines = (f"{name}\t{single_line(name, label, NAME)}" for name, label in write_images(samples, out, "images", names))
    return write_label_file(out / LABEL_FILES[0], lines)


def edit(words: FolderWords, changes: Mapping[int, str | None]) -> bytes:
    return edit_lines(words, changes, _replace_text, _keep_images)


def _parse(line: str) -> tuple[str, str] | None:
    name, tab, text = line.partition("\t")
    return (name, text) if tab and name.strip() else None


def _images(text: str) -> list[str]:
    """Parse the images of a JSON list; empty when it is not a list of names."""
    try:
        names = json.loads(text)
    except json.JSONDecodeError:
        return [text]  # a file whose name starts with a bracket
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return []
    return [image_path(name) for name in names]


def _replace_text(line: str, _: str, text: str) -> str:
    return f"{line.partition(chr(9))[0]}\t{text}"


def _keep_images(line: str, positions: Sequence[int]) -> str:
    names, tab, label = line.partition("\t")
    listed = json.loads(names)
    return f"{json.dumps([listed[position] for position in positions], ensure_ascii=False)}{tab}{label}"
