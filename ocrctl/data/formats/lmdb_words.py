"""LMDB of word images in the common layout: a folder with `data.mdb` (or one .mdb file) of these keys.

    num-samples        number of samples, ASCII digits
    image-000000001    encoded image file (JPEG, PNG, WebP ...), numbered from 1, nine digits
    label-000000001    its text, UTF-8

Other keys are ignored. deep-text-recognition-benchmark, PARSeq, PaddleOCR and MMOCR read the same files.
https://github.com/clovaai/deep-text-recognition-benchmark/blob/master/create_lmdb_dataset.py
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from ocrctl.data.formats._text import WordKeeps
from ocrctl.data.lmdb.reader import LmdbWords, data_file
from ocrctl.data.lmdb.writer import LmdbWriter
from ocrctl.text.normalize import normalize_label

NAME = "lmdb"
LABEL_FILES = ("data.mdb",)
KEEPS = WordKeeps()

_COMMIT = 512  # images per commit


def sniff(path: Path) -> bool:
    return data_file(path) is not None


def read(path: Path) -> LmdbWords:
    return LmdbWords(path.parent if path.name == "data.mdb" else path)


def write(samples: Iterable[tuple[bytes, str]], out: Path) -> Path:
    stream = iter(samples)
    labels: list[str] = []
    with LmdbWriter(out) as writer:
        while batch := list(islice(stream, _COMMIT)):
            writer.append([data for data, _ in batch])
            labels += [normalize_label(label) for _, label in batch]
        writer.finish(labels)
    return out / LABEL_FILES[0]
