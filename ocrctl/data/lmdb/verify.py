"""Verify an LMDB of word images: every key is present, every image decodes, every label is valid."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from ocrctl.data.images.libjpeg_warnings import DecoderWarnings
from ocrctl.data.lmdb.check import follow_parent, label_problem, worker_context
from ocrctl.data.lmdb.file import LmdbFile
from ocrctl.data.lmdb.reader import LmdbWords, image_key, label_key, open_file
from ocrctl.errors import InputError
from ocrctl.text.normalize import normalize_label

_CHUNK = 512  # samples per task
_file: LmdbFile

Fault = tuple[int, str]  # 1-based number of a sample (0: the whole file), reason


@dataclass
class Verified:
    """Result: `samples` is num-samples; `images` and `labels` count the keys that were found."""

    samples: int
    images: int = 0
    labels: int = 0
    faults: list[Fault] = field(default_factory=list)


def verify(path: Path, *, jobs: int = 1, progress: Callable[[int, int], None] = lambda done, total: None) -> Verified:
    """Read every sample of the LMDB `path` in `jobs` worker processes, which a damaged file may crash.

    Raises InputError when it is no LMDB, is cut off, or crashes a worker.
    """
    words = LmdbWords(path)
    result = Verified(len(words))
    if not len(words):
        result.faults.append((0, "num-samples is 0: the LMDB holds no samples"))
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
        raise InputError(f"{path}: reading it crashed the process: the LMDB is damaged.") from error
    return result


def _initialise(path: str) -> None:
    global _file
    follow_parent()
    _file = open_file(path, path)


def _verify_chunk(numbers: range) -> tuple[int, int, list[Fault]]:
    images = labels = 0
    faults: list[Fault] = []
    with DecoderWarnings() as decoder:
        for number in numbers:
            image, image_fault = _read(image_key(number), "the image is missing")
            label, label_fault = _read(label_key(number), "the label is missing")
            images += image is not None
            labels += label is not None
            reasons = (
                image_fault if image is None else decoder.check(image),
                label_fault if label is None else _label_fault(label),
            )
            faults += [(number, reason) for reason in reasons if reason]
    return images, labels, faults


def _read(key: bytes, missing: str) -> tuple[bytes | None, str]:
    """Return the data of `key`, or None and the reason."""
    try:
        return _file.get(key), missing
    except InputError as error:
        return None, error.message.removeprefix(f"{_file.name}: ").removesuffix(".")


def _label_fault(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return f"the label is not UTF-8 (byte 0x{data[error.start]:02x} in {data[:40]!r})"
    if normalize_label(text) != text:
        return f"the label {text!r} is not NFC"
    return label_problem(text, 0)


def _stray_keys(samples: int) -> list[Fault]:
    """Find samples beyond num-samples, which no reader would read."""
    beyond: dict[str, int] = {}
    for kind, first in (("image", image_key(samples + 1)), ("label", label_key(samples + 1))):
        try:
            for key, _ in _file.scan(first):
                if not key.startswith(kind.encode() + b"-"):
                    break
                beyond[kind] = beyond.get(kind, 0) + 1
        except InputError as error:
            return [(0, error.message.removeprefix(f"{_file.name}: ").removesuffix("."))]
    return [(0, f"{count} {kind}s beyond num-samples ({samples})") for kind, count in beyond.items()]
