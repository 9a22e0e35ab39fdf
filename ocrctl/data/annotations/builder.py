"""Build the columnar index while a label file is read."""

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
    """Collect annotations in compact arrays, 8 bytes per number."""

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
        """Set the label file of the images added from here on."""
        self.label_files.append(str(path))

    def image(
        self, name: str, *, line: int = 0, size: tuple[int, int] = (0, 0), extra: dict[str, Any] | None = None
    ) -> int:
        """Add an image. Returns its number. `size` is (width, height) as the annotation states it."""
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
        """Add an instance with points x1, y1, x2, y2 ... Raises TypeError for a point that is no number or a text that
        is no string, ValueError for an odd number of coordinates."""
        if not isinstance(text, str):
            raise TypeError(f"expected a string, found {text!r}")
        if len(flat) % 2:
            raise ValueError(f"{len(flat)} coordinates")
        try:
            self._points.extend(flat)
        except (TypeError, ValueError, OverflowError):
            del self._points[2 * self._offsets[-1] :]  # those added before the invalid one
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
        """Add an instance that `add` refused or that could not be parsed: a finding that `dataset clean` removes.

        `raw` is the JSON value or line in the label file, written back until then; `name` that of the finding's code;
        `what` names the instance where its number does not.
        """
        note = f"{what}{': ' if what else ''}expected {expected}, found {_shown(raw)}"
        self._add_bad(image, Malformed(name, note, raw), line, extra)

    def malformed_image(self, name: str, raw: Any, expected: str, *, line: int = 0) -> None:
        """Add an image whose entry `raw` cannot be parsed, with one malformed instance."""
        note = f"expected {expected}, found {_shown(raw)}"
        self._add_bad(self.image(name, line=line), Malformed(ENTRY, note, raw, whole=True), line, None)

    def _add_bad(self, image: int, bad: Malformed, line: int, extra: Any) -> None:
        self.bad[len(self.texts)] = bad
        self.add(image, (), "", True, line, extra)

    def add_all(
        self, image: int, flat: array[float], sizes: list[int], texts: list[str], ignore: list[bool], line: int
    ) -> None:
        """Add L instances of one image and line: concatenated coordinates, and the number of points of each."""
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
        """Add L instances at once: image and line (L,), points (L, 8), texts. The text IGNORED marks ignored ones."""
        first = len(self._points) // 2
        self._points.frombytes(np.ascontiguousarray(quads, np.float64).tobytes())
        self._offsets.frombytes(np.arange(first + 4, first + 4 * len(texts) + 1, 4, dtype=np.int64).tobytes())
        self._image_id.frombytes(np.asarray(images, np.int32).tobytes())
        self._lines.frombytes(np.asarray(lines, np.int32).tobytes())
        ignore = [text == IGNORED for text in texts] if IGNORED in texts else len(texts)  # the search is faster
        self._ignore.frombytes(bytes(ignore))  # bytes(n) is n zeros
        self.texts.extend(texts)

    def build(self, root: Path | str, words: WordSource | None = None) -> Annotations:
        """Return the finished index. Raises InputError when it holds no image."""
        if not self.images:
            raise InputError(f"{self.name}: holds no images.")
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
        if 2 * len(lines) > len(self.texts):  # the file is not of this format
            raise_malformed(self.name, self.bad, data.where(lines[0]), None)
        return data if np.all(image_id[1:] >= image_id[:-1]) else by_image(data)


def _shown(raw: Any) -> str:
    return repr(raw[:60]) if isinstance(raw, str) else str(raw)[:60]


def from_words(source: WordSource) -> Annotations:
    """Index word images without points: instance i is image i."""
    count = len(source)
    names = source.files if isinstance(source, FolderWords) else [f"sample {number + 1}" for number in range(count)]
    if not count:
        raise InputError(f"{source.name}: holds no images.")
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
