"""Building the columnar index while a label file is read, in compact arrays."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations.index import IGNORED, Annotations, by_image
from ocrctl.data.lmdb.word_source import FolderWords, WordSource, image_path
from ocrctl.data.polygons.malformed import ENTRY, Malformed, raise_malformed
from ocrctl.errors import InputError


class Builder:
    """Collects annotations in compact arrays, 8 bytes a number, while a file is read."""

    def __init__(self, name: Path, format_name: str) -> None:
        self.name, self.format = str(name), format_name
        self.images: list[str] = []
        self.texts: list[str] = []
        self.label_files: list[str] = []
        self.extras: dict[int, dict[str, Any]] = {}
        self.image_extras: dict[int, dict[str, Any]] = {}
        self.document: dict[str, Any] = {}
        self.notes: list[str] = []
        self.unchecked: list[int] = []
        self.bad: dict[int, Malformed] = {}
        self._sizes, self._image_label, self._image_line = array("i"), array("i"), array("i")
        self._points, self._offsets = array("d"), array("q", [0])
        self._image_id, self._ignore, self._lines = array("i"), array("b"), array("i")

    def label_file(self, path: Path | str) -> None:
        """Pictures added from here on stand in this label file."""
        self.label_files.append(str(path))

    def image(
        self, name: str, *, line: int = 0, size: tuple[int, int] = (0, 0), extra: dict[str, Any] | None = None
    ) -> int:
        """Add a picture; returns its number. `size` is (width, height) as the annotation states it."""
        number, path = len(self.images), image_path(name)
        try:
            self._sizes.extend(size)
        except (TypeError, OverflowError):
            del self._sizes[2 * number :]
            raise
        self.images.append(path)
        self._image_label.append(len(self.label_files) - 1)
        self._image_line.append(line)
        if extra:
            self.image_extras[number] = extra
        return number

    def add(self, image: int, flat: Sequence[float], text: str, ignore: bool, line: int = 0, extra: Any = None) -> None:
        """Add an instance with points x1, y1, x2, y2 ... Raises TypeError when one is no number or the text no text,
        ValueError when the number of coordinates is odd."""
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is no text")
        if len(flat) % 2:
            raise ValueError(f"{len(flat)} coordinates")
        try:
            self._points.extend(flat)
        except (TypeError, ValueError, OverflowError):
            del self._points[2 * self._offsets[-1] :]  # those before the one that is no number
            raise
        self._offsets.append(len(self._points) // 2)
        self._image_id.append(image)
        self._ignore.append(ignore)
        self._lines.append(line)
        if extra:
            self.extras[len(self.texts)] = extra
        self.texts.append(text)

    def malformed(
        self, image: int, raw: Any, expected: str, name: str = ENTRY, *, line: int = 0, extra: Any = None,
        what: str = "",
    ) -> None:  # fmt: skip
        """Add an instance that `add` refused or that could not be taken apart: a finding that `dataset clean` removes.

        `raw` is what stands there, a JSON value or a line, and is written again until then; `name` that of its code;
        `what` names the instance where its number does not.
        """
        note = f"{what}{': ' if what else ''}expected {expected}, found {_shown(raw)}"
        self._add_bad(image, Malformed(name, note, raw), line, extra)

    def malformed_image(self, name: str, raw: Any, expected: str, *, line: int = 0) -> None:
        """Add a picture whose entry `raw` cannot be taken apart, with one instance that says so."""
        note = f"expected {expected}, found {_shown(raw)}"
        self._add_bad(self.image(name, line=line), Malformed(ENTRY, note, raw, whole=True), line, None)

    def _add_bad(self, image: int, bad: Malformed, line: int, extra: Any) -> None:
        self.bad[len(self.texts)] = bad
        self.add(image, (), "", True, line, extra)

    def add_all(
        self, image: int, flat: array[float], sizes: list[int], texts: list[str], ignore: list[bool], line: int
    ) -> None:
        """Add L instances of one picture and line: coordinates one after another, and how many points each has."""
        ends = accumulate(sizes, initial=len(self._points) // 2)
        next(ends)
        self._offsets.extend(ends)
        self._points.extend(flat)
        self._image_id.extend([image] * len(texts))
        self._lines.extend([line] * len(texts))
        self._ignore.extend(ignore)
        self.texts.extend(texts)

    def add_quads(
        self,
        images: NDArray[np.int32],
        quads: NDArray[np.float64],
        texts: list[str],
        lines: NDArray[np.int32],
    ) -> None:
        """Add L instances at once: picture and line (L,), points (L, 8), texts; one whose text is IGNORED is."""
        first = len(self._points) // 2
        self._points.frombytes(np.ascontiguousarray(quads, np.float64).tobytes())
        self._offsets.frombytes(np.arange(first + 4, first + 4 * len(texts) + 1, 4, dtype=np.int64).tobytes())
        self._image_id.frombytes(np.asarray(images, np.int32).tobytes())
        self._lines.frombytes(np.asarray(lines, np.int32).tobytes())
        ignore = [text == IGNORED for text in texts] if IGNORED in texts else len(texts)  # looking is quicker
        self._ignore.frombytes(bytes(ignore))  # of a number: as many zeros
        self.texts.extend(texts)

    def build(self, root: Path | str, words: WordSource | None = None) -> Annotations:
        """The finished index. Raises InputError when it holds no picture."""
        if not self.images:
            raise InputError(f"{self.name}: holds no pictures.")
        image_id = np.frombuffer(self._image_id, np.int32) if self._image_id else np.zeros(0, np.int32)
        points = np.frombuffer(self._points, np.float64) if self._points else np.zeros(0)
        data = Annotations(
            name=self.name,
            format=self.format,
            root=str(root),
            images=self.images,
            sizes=np.frombuffer(self._sizes, np.int32).reshape(-1, 2),
            image_label=np.frombuffer(self._image_label, np.int32),
            image_line=np.frombuffer(self._image_line, np.int32),
            label_files=self.label_files,
            points=points.reshape(-1, 2),
            offsets=np.frombuffer(self._offsets, np.int64),
            image_id=image_id,
            ignore=np.frombuffer(self._ignore, np.bool_) if self._ignore else np.zeros(0, np.bool_),
            lines=np.frombuffer(self._lines, np.int32) if self._lines else np.zeros(0, np.int32),
            texts=self.texts,
            extras=self.extras,
            image_extras=self.image_extras,
            document=self.document,
            notes=self.notes,
            unchecked=self.unchecked,
            words=words,
            malformed=self.bad,
        )
        lines = [index for index, bad in self.bad.items() if isinstance(bad.raw, str)]
        if 2 * len(lines) > len(self.texts):  # not lines of this format at all
            raise_malformed(self.name, self.bad, data.where(lines[0]), None)
        return data if np.all(image_id[1:] >= image_id[:-1]) else by_image(data)


def _shown(raw: Any) -> str:
    return repr(raw[:60]) if isinstance(raw, str) else str(raw)[:60]


def from_words(source: WordSource) -> Annotations:
    """Word pictures as an index without points: instance i is picture i."""
    count = len(source)
    names = source.files if isinstance(source, FolderWords) else [f"sample {number + 1}" for number in range(count)]
    if not count:
        raise InputError(f"{source.name}: holds no pictures.")
    return Annotations(
        name=source.name,
        format="words",
        root=source.root if isinstance(source, FolderWords) else source.name,
        images=list(names),
        sizes=np.zeros((count, 2), np.int32),
        image_label=np.zeros(count, np.int32),
        image_line=np.zeros(count, np.int32),
        label_files=[source.name],
        points=np.zeros((0, 2)),
        offsets=np.zeros(count + 1, np.int64),
        image_id=np.arange(count, dtype=np.int32),
        ignore=np.zeros(count, np.bool_),
        lines=np.zeros(count, np.int32),
        texts=list(source.texts if isinstance(source, FolderWords) else source.labels),
        words=source,
        malformed=dict(source.malformed) if isinstance(source, FolderWords) and source.malformed else {},
    )
