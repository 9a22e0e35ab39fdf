"""docTR recognition, `labels.json` beside a folder `images`: one JSON object of file name to text; UTF-8.

    labels.json       {"word_1.png": "JOINT", "word_2.png": "GENAXIS THEATRE"}
    images/word_1.png

Names are relative to `images`. https://github.com/mindee/doctr/tree/main/references/recognition
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ocrctl.data.formats._json import dump_edited, read_json, write_json
from ocrctl.data.formats._text import IMAGE_SUFFIX, WordKeeps, head_text, nfc_labels, write_images
from ocrctl.data.lmdb.word_source import FolderWords, image_path
from ocrctl.data.polygons.malformed import TEXT, Malformed
from ocrctl.errors import InputError

NAME = "doctr"
LABEL_FILES = ("labels.json",)
KEEPS = WordKeeps(names=True)

_HEAD = re.compile(rf'\{{\s*"(?:[^"\\]|\\.)*{IMAGE_SUFFIX}"\s*:\s*"', re.IGNORECASE)


def sniff(path: Path) -> bool:
    return bool(_HEAD.match(head_text(path)))


def read(path: Path) -> FolderWords:
    table = read_json(path)
    if not isinstance(table, dict):
        raise InputError(f"{path}: expected a JSON object of image name to text, found {type(table).__name__}.")
    bad = {
        index: Malformed(TEXT, f"{name}: expected a text, found {type(text).__name__} {str(text)[:60]}")
        for index, (name, text) in enumerate(table.items())
        if not isinstance(text, str)
    }
    return FolderWords(
        str(path),
        str(path.parent / "images"),
        [image_path(name) for name in table],
        *nfc_labels(["" if index in bad else text for index, text in enumerate(table.values())], None),
        malformed=bad or None,
    )


def write(samples: Iterable[tuple[bytes, str]], out: Path, names: Sequence[str] | None = None) -> Path:
    table = {name.removeprefix("images/"): label for name, label in write_images(samples, out, "images", names)}
    return write_json(out / LABEL_FILES[0], table)


def edit(words: FolderWords, changes: Mapping[int, str | None]) -> bytes:
    document = read_json(Path(words.label_file))
    table = {name: changes.get(index, text) for index, (name, text) in enumerate(document.items())}
    return dump_edited({name: text for name, text in table.items() if text is not None})
