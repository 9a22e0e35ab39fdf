"""MMOCR 0.x recognition, `*.jsonl`: one JSON object per line; UTF-8. `filename` is relative to the label file's folder.

{"filename": "train/word_1.png", "text": "JOINT"}

Other keys are ignored. https://mmocr.readthedocs.io/en/v0.6.3/datasets/recog.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ocrctl.data.formats._text import WordKeeps, edit_lines, most_lines_fit, read_text, write_images, write_label_file
from ocrctl.data.lmdb.word_source import FolderWords

NAME = "mmocr-jsonl"
LABEL_FILES = ("label.jsonl", "*.jsonl")
KEEPS = WordKeeps(names=True)

_EXPECTED = '{"filename": IMAGE, "text": TEXT}'


def sniff(path: Path) -> bool:
    return most_lines_fit(path, _parse)


def read(path: Path) -> FolderWords:
    return read_text(path, _parse, _EXPECTED)


def write(samples: Iterable[tuple[bytes, str]], out: Path, names: Sequence[str] | None = None) -> Path:
    pairs = write_images(samples, out, "images", names)
    return write_label_file(
        out / LABEL_FILES[0],
        (json.dumps({"filename": name, "text": label}, ensure_ascii=False) for name, label in pairs),
    )


def edit(words: FolderWords, changes: Mapping[int, str | None]) -> bytes:
    return edit_lines(words, changes, _replace_text)


def _parse(line: str) -> tuple[str, str] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    name, text = entry.get("filename"), entry.get("text")
    return (name, text) if isinstance(name, str) and isinstance(text, str) else None


def _replace_text(line: str, _: str, text: str) -> str:
    return json.dumps(json.loads(line) | {"text": text}, ensure_ascii=False)
