r"""ICDAR cropped words (Robust Reading Competition), `gt.txt`: file, comma, space, the text in double quotes; UTF-8.

    word_1.png, "JOINT"
    word_2.png, "\"SCAN\", 50%"

A double quote within the text is written \"; a backslash before anything else is a backslash; commas are allowed. The
competition's files have a BOM and CRLF line ends. Images are beside the label file.
https://rrc.cvc.uab.es/?ch=4&com=tasks (Task 4.3)
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

NAME = "icdar-words"
LABEL_FILES = ("gt.txt", "*gt*.txt")
KEEPS = WordKeeps(names=True, line_breaks=False)

_EXPECTED = 'IMAGE, "TEXT"'
_SNIFF = re.compile(rf'[^\t]*?{IMAGE_SUFFIX}\s*,\s*".*"\s*$', re.IGNORECASE)
_LINE = re.compile(r'\s*(.+?)\s*,\s*"(.*)"\s*$')


def sniff(path: Path) -> bool:
    return most_lines_fit(path, _SNIFF.match)


def read(path: Path) -> FolderWords:
    return read_text(path, _parse, _EXPECTED)


def write(samples: Iterable[tuple[bytes, str]], out: Path, names: Sequence[str] | None = None) -> Path:
    pairs = write_images(samples, out, "", names)
    return write_label_file(
        out / LABEL_FILES[0], (f'{name}, "{_escape(single_line(name, label, NAME))}"' for name, label in pairs)
    )


def edit(words: FolderWords, changes: Mapping[int, str | None]) -> bytes:
    return edit_lines(words, changes, _replace_text)


def _parse(line: str) -> tuple[str, str] | None:
    name, _, text = line.partition(', "')
    if text[-1:] == '"' and name and '"' not in name and name == name.strip():  # nearly every line
        return name, text[:-1].replace('\\"', '"')
    match = _LINE.match(line)
    return (match[1], match[2].replace('\\"', '"')) if match else None


def _escape(text: str) -> str:
    return text.replace('"', '\\"')


def _replace_text(line: str, image: str, text: str) -> str:
    start = line.index('"', len(line) - len(line.lstrip()) + len(image)) + 1
    return f"{line[:start]}{_escape(text)}{line[line.rindex(chr(34)) :]}"
