"""Space-separated tags, `tags.txt`: a path below the label file's folder, one space, the text; UTF-8.

    word_1.png JOINT
    train/word 2.png GENAXIS THEATRE

The path ends at the first image suffix followed by a space (so it may hold spaces), else at the first space; the text
is everything after it. Used by CRNN's and MMOCR 0.x's txt files.
https://mmocr.readthedocs.io/en/v0.6.3/datasets/recog.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ocrctl.data.formats._text import (
    IMAGE_SUFFIX,
    WordKeeps,
    edit_lines,
    most_lines_fit,
    read_text,
    single_line,
    write_images,
    write_label_file,
)
from ocrctl.data.lmdb.word_source import FolderWords

NAME = "space-tags"
LABEL_FILES = ("tags.txt", "labels.txt", "label.txt", "*.txt")
KEEPS = WordKeeps(names=True, line_breaks=False)

_EXPECTED = "IMAGE TEXT with a space between"
_LINE = re.compile(rf"([^\t]+?{IMAGE_SUFFIX}) (.*)$", re.IGNORECASE)
_OUTLINES = re.compile(r'\[\s*\{.*"points"')  # PaddleOCR's detection lines without their TAB


def sniff(path: Path) -> bool:
    return most_lines_fit(path, lambda line: (match := _LINE.match(line)) and not _OUTLINES.match(match[2]))


def read(path: Path) -> FolderWords:
    return read_text(path, _parse, _EXPECTED)


def write(samples: Iterable[tuple[bytes, str]], out: Path, names: Sequence[str] | None = None) -> Path:
    lines = (f"{name} {single_line(name, label, NAME)}" for name, label in write_images(samples, out, "images", names))
    return write_label_file(out / LABEL_FILES[0], lines)


def edit(words: FolderWords, changes: Mapping[int, str | None]) -> bytes:
    return edit_lines(words, changes, _replace_text)


def _parse(line: str) -> tuple[str, str] | None:
    if match := _LINE.match(line):
        return match[1], match[2]
    name, space, text = line.partition(" ")
    return (name, text) if space and name else None


def _replace_text(line: str, image: str, text: str) -> str:
    return f"{line[: len(image)]} {text}"
