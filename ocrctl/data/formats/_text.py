"""Shared parts of the text formats with one sample per line: sniffing, reading, editing and writing."""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

from ocrctl.data.formats._cache import cached
from ocrctl.data.lmdb.label_text import read_start
from ocrctl.data.lmdb.word_source import FolderWords, image_path, read_unix_text
from ocrctl.data.polygons.malformed import ENTRY, Malformed, raise_malformed
from ocrctl.errors import InputError
from ocrctl.files.regular import read_regular
from ocrctl.text.normalize import normalize_label

Item = TypeVar("Item")

IMAGE_SUFFIX = r"\.(?:jpe?g|png|webp|bmp|tiff?|gif|jp2|ppm|pgm)"
HEAD_BYTES = 16384
NO_SAMPLE = ("", "")  # image and text of a malformed sample
_LONG_LINE = 1 << 20  # further bytes read when the first line is longer than HEAD_BYTES
_HEADS = 128  # files whose start is cached while a format is detected
_HEAD_LINES = 20

_SIGNATURES = ((b"\xff\xd8", ".jpg"), (b"\x89PNG", ".png"), (b"RIFF", ".webp"), (b"BM", ".bmp"), (b"GIF8", ".gif"))


@dataclass(frozen=True)
class WordKeeps:
    """What a format of word images supports besides images and texts; `dataset convert` reports what is lost."""

    names: bool = False  # `write` takes names for the images
    line_breaks: bool = True


def head_lines(path: Path) -> list[str]:
    """Return the first complete, non-blank lines of a file, with undecodable bytes replaced."""
    return cached(_head_lines, path, _HEADS)


def head_text(path: Path) -> str:
    """Return the first bytes of a file as text, without BOM and leading whitespace; "" when it cannot be read."""
    return cached(_head_text, path, _HEADS)


def _head_text(path: Path) -> str:
    return cached(_head, path, _HEADS).decode(errors="replace").removeprefix("\ufeff").lstrip()


def _head_lines(path: Path) -> list[str]:
    data = cached(_head, path, _HEADS)
    lines = data.decode(errors="replace").removeprefix("\ufeff").split("\n")
    if len(data) >= HEAD_BYTES and len(lines) > 1:
        del lines[-1]
    return list(islice((line.removesuffix("\r") for line in lines if line.strip()), _HEAD_LINES))


def _head(path: Path) -> bytes:
    data = read_start(str(path), HEAD_BYTES)
    long = len(data) == HEAD_BYTES and b"\n" not in data and path.suffix.lower() != ".json"
    return read_start(str(path), HEAD_BYTES + _LONG_LINE) if long else data


def majority(items: Sequence[Item], fits: Callable[[Item], bool | None]) -> bool:
    """Return whether more than half of `items` fit, without those for which `fits` returns None.

    Stops as soon as the result is known.
    """
    fitting, counted, left = 0, 0, len(items)
    for item in items:
        fit = fits(item)
        left -= 1
        if fit is not None:
            fitting, counted = fitting + fit, counted + 1
        if 2 * fitting > counted + left:
            return True
        if 2 * (fitting + left) <= counted + left:
            return False
    return False


def most_lines_fit(path: Path, fits: Callable[[str], object]) -> bool:
    """Return whether most of the first lines fit. A bad line must not hide the format, so that reading can report
    it."""
    return lines_fit(head_lines(path), fits)


def lines_fit(lines: Sequence[str], fits: Callable[[str], object]) -> bool:
    """Return whether more than half of `lines` fit."""
    return majority(lines, lambda line: bool(fits(line)))


def read_text(path: Path, parse: Callable[[str], tuple[str, str] | None], expected: str) -> FolderWords:
    """Read a label file of one `(image, text)` per line, skipping blank lines. Images are beside the label file.

    `parse` returns None for a line of another format: a malformed sample. Raises InputError naming file:line and
    `expected` when most lines are.
    """
    files: list[str] = []
    labels: list[str] = []
    numbers: list[int] = []
    bad: dict[int, Malformed] = {}
    text = read_unix_text(path)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        pair = parse(line)
        if pair is None:
            bad[len(files)] = Malformed(ENTRY, f"expected {expected}, found {line[:60]!r}")
            pair = NO_SAMPLE
        files.append(pair[0])
        labels.append(pair[1])
        numbers.append(number)
    if not text.isascii() or "\\" in text:  # an escape may stand for any character
        files = list(map(image_path, files))
    words = FolderWords(str(path), str(path.parent), files, *nfc_labels(labels, numbers), malformed=bad or None)
    if 2 * len(bad) > len(files):
        raise_malformed(str(path), bad, f"{path}:{numbers[min(bad)]}", None)
    return words


def nfc_labels(texts: list[str], lines: list[int] | None) -> tuple[list[str], list[int] | None, list[str] | None]:
    """Return `labels`, `lines` and `written` of FolderWords."""
    labels = [text if text.isascii() else normalize_label(text) for text in texts]
    return labels, lines, texts if labels != texts else None


def write_images(
    samples: Iterable[tuple[bytes, str]], out: Path, folder: str, names: Sequence[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Write each encoded image as `out/folder/NAME`; without names as word_N.ext (N from 1).

    Yields (path below `out`, NFC label). Names are paths below the folder that a line can hold.
    """
    (out / folder).mkdir(parents=True, exist_ok=True)
    for number, (data, label) in enumerate(samples, 1):
        suffix = next((suffix for magic, suffix in _SIGNATURES if data.startswith(magic)), ".img")
        name = names[number - 1] if names is not None else f"word_{number}{suffix}"
        path = f"{folder}/{name}" if folder else name
        if "/" in name:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(data)
        yield path, normalize_label(label)


def single_line(name: str, label: str, kind: str) -> str:
    """Return `label`. Raises InputError when it holds a line break, which a text format does not support."""
    if "\n" in label or "\r" in label:
        raise InputError(f"{name}: the label {label[:40]!r} holds a line break, which {kind} does not support.")
    return label


def write_label_file(path: Path, lines: Iterable[str]) -> Path:
    """Write lines as UTF-8 with \\n ends. Returns `path`."""
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(line + "\n" for line in lines)
    return path


def edit_lines(
    words: FolderWords,
    changes: Mapping[int, str | None],
    replace_text: Callable[[str, str, str], str],
    keep_images: Callable[[str, Sequence[int]], str] | None = None,
) -> bytes:
    """Return the label file of `words` with `changes` as in `EditableFormat.edit`; other lines stay byte for byte.

    `replace_text(line, image, text)`: the line with another text. `keep_images(line, positions)`: the line with only
    these of its images, for a format whose lines may name several.
    """
    content = read_regular(words.label_file)
    lines = io.BytesIO(content.removeprefix(BOM_UTF8)).readlines()  # as read_lines: only \n ends a line
    for number, group in groupby(range(len(words)), key=(words.lines or []).__getitem__):
        members = list(group)
        if not any(index in changes for index in members):
            continue
        line = lines[number - 1]
        end = line[len(line.removesuffix(b"\n").removesuffix(b"\r")) :]
        kept = [index for index in members if changes.get(index, "") is not None]
        if not kept:
            lines[number - 1] = b""
            continue
        text = line[: len(line) - len(end)].decode("utf-8")
        if keep_images is not None and len(kept) < len(members):
            text = keep_images(text, [index - members[0] for index in kept])
        new = changes.get(kept[0])
        if new is not None:
            text = replace_text(text, words.files[kept[0]], new)
        lines[number - 1] = text.encode("utf-8") + end
    return (BOM_UTF8 if content.startswith(BOM_UTF8) else b"") + b"".join(lines)
