"""Whether an LMDB of word images is whole: every key there, every image decodable, every label clean."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb

from ocrctl.data.decoder_warnings import DecoderWarnings
from ocrctl.data.lmdb import LmdbWords, image_key, label_key, open_environment
from ocrctl.data.lmdb_check import follow_parent, label_problem, worker_context
from ocrctl.errors import InputError
from ocrctl.text.normalize import normalize_label

_CHUNK = 512  # samples per task
_environment: lmdb.Environment

Fault = tuple[int, str]  # 1-based number of a sample (0: the file as a whole), reason


@dataclass
class Verified:
    """Outcome: `samples` is num-samples; `images` and `labels` count the keys found among them."""

    samples: int
    images: int = 0
    labels: int = 0
    faults: list[Fault] = field(default_factory=list)


def verify(path: Path, *, jobs: int = 1, progress: Callable[[int, int], None] = lambda done, total: None) -> Verified:
    """Read every sample of the LMDB `path` in `jobs` other processes: a broken file may kill its reader.

    Raises InputError when it is no LMDB, is cut off, or kills its reader.
    """
    words = LmdbWords(path)
    result = Verified(len(words))
    if not len(words):
        result.faults.append((0, "num-samples is 0: it holds nothing"))
    chunks = [range(first, min(first + _CHUNK, len(words) + 1)) for first in range(1, len(words) + 1, _CHUNK)]
    try:
        with ProcessPoolExecutor(jobs, worker_context(), _initialise, (str(path),)) as pool:
            for chunk, (images, labels, faults) in zip(chunks, pool.map(_verify_chunk, chunks), strict=True):
                result.images += images
                result.labels += labels
                result.faults += faults
                progress(chunk.stop - 1, len(words))
            result.faults = pool.submit(_stray_keys, len(words)).result() + result.faults
    except BrokenProcessPool as error:
        raise InputError(f"{path}: reading it killed the process: the LMDB is damaged.") from error
    except lmdb.Error as error:
        raise InputError(f"{path}: the LMDB is damaged ({error}).") from error
    return result


def _initialise(path: str) -> None:
    global _environment
    follow_parent()
    _environment = open_environment(path, path)


def _verify_chunk(numbers: range) -> tuple[int, int, list[Fault]]:
    images = labels = 0
    faults: list[Fault] = []
    with _environment.begin(buffers=True) as transaction, DecoderWarnings() as decoder:
        for number in numbers:
            image, label = transaction.get(image_key(number)), transaction.get(label_key(number))
            images += image is not None
            labels += label is not None
            reasons = (
                "the image is missing" if image is None else decoder.check(bytes(image)),
                "the label is missing" if label is None else _label_fault(bytes(label)),
            )
            faults += [(number, reason) for reason in reasons if reason]
    return images, labels, faults


def _label_fault(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return f"the label is not UTF-8 (byte 0x{data[error.start]:02x} in {data[:40]!r})"
    if normalize_label(text) != text:
        return f"the label {text!r} is not NFC"
    return label_problem(text, 0)


def _stray_keys(samples: int) -> list[Fault]:
    """Samples beyond num-samples, which nobody would ever read."""
    with _environment.begin() as transaction:
        cursor = transaction.cursor()
        beyond: dict[str, int] = {}
        for kind, key in (("image", image_key(samples + 1)), ("label", label_key(samples + 1))):
            found: Any = cursor.set_range(key)
            while found and cursor.key().startswith(kind.encode() + b"-"):
                beyond[kind] = beyond.get(kind, 0) + 1
                found = cursor.next()
    return [(0, f"{count} {kind}s lie beyond num-samples ({samples})") for kind, count in beyond.items()]
