"""Columnar index of an annotated data set: all polygons, texts and flags in flat arrays, read once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.lmdb.label_text import read_starts
from ocrctl.data.lmdb.reader import LmdbWords
from ocrctl.data.lmdb.word_source import FolderWords, SelectedWords, WordSource
from ocrctl.data.polygons.malformed import Malformed

IGNORED = "###"  # text of an ignored instance without a text of its own


@dataclass(frozen=True)
class Annotations:
    """I images with N instances and P points in total. Instances are in the order of their images.

    Coordinates are pixels of the image as displayed (EXIF orientation applied), x right, y down. Texts are as written,
    not normalised to NFC. `words` is set for word images: then each image is one instance without points.
    """

    name: str  # path it was read from
    format: str
    root: str  # folder that `images` are relative to
    images: list[str]
    sizes: NDArray[np.int32]  # (I, 2) width and height that the annotation states; 0 where it states none
    image_label: NDArray[np.int32]  # (I,) index into `label_files`
    image_line: NDArray[np.int32]  # (I,) 1-based line in its label file; 0: the format has no lines
    label_files: list[str]
    points: NDArray[np.float64]  # (P, 2) x, y
    offsets: NDArray[np.int64]  # (N + 1,) instance i owns points[offsets[i]:offsets[i + 1]]
    image_id: NDArray[np.int32]  # (N,) ascending
    ignore: NDArray[np.bool_]  # (N,)
    lines: NDArray[np.int32]  # (N,) 1-based line; 0: the format has no lines
    texts: list[str]
    extras: dict[int, dict[str, Any]] = field(default_factory=dict)  # instance to the keys that only `format` has
    image_extras: dict[int, dict[str, Any]] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)  # keys of the whole file
    notes: list[str] = field(default_factory=list)  # notes of the reader
    unchecked: list[int] = field(default_factory=list)  # images that are not marked done in the annotation tool
    words: WordSource | None = None
    malformed: dict[int, Malformed] = field(default_factory=dict)  # instances whose points or text cannot be read

    def __len__(self) -> int:
        return len(self.texts)

    def polygon(self, index: int) -> NDArray[np.float64]:
        """Return the points (n, 2) of instance `index`."""
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    def spans(self) -> NDArray[np.int64]:
        """Return (I + 1,): image i owns the instances spans[i] up to spans[i + 1]."""
        return np.searchsorted(self.image_id, np.arange(len(self.images) + 1)).astype(np.int64)

    def image_bytes(self, image: int) -> bytes:
        """Read the encoded image. Raises InputError when it is missing or unreadable."""
        if self.words is not None:
            return self.words.image_bytes(image)
        line = [int(self.image_line[image])] if self.image_line[image] else None
        label_file = self.label_files[self.image_label[image]]
        return FolderWords(label_file, self.root, [self.images[image]], [""], line).image_bytes(0)

    def image_paths(self, start: int, stop: int) -> list[str]:
        """Return the paths of the images from `start` up to `stop`; "" for an image that is not a file. Fast."""
        names = self.images[start:stop]
        if self.words is not None and not isinstance(self.words, FolderWords):
            return [""] * len(names)
        base = os.path.join(self.root, "")
        return [name if name[:1] == "/" or name[1:2] == ":" else base + name for name in names]

    def image_starts(self, start: int, stop: int, size: int) -> list[bytes]:
        """Read the first `size` bytes of the images from `start` up to `stop`; b"" where one cannot be read, or its
        source has no fast way to do so."""
        if isinstance(self.words, LmdbWords):
            return self.words.image_starts(start, stop, size)
        paths = self.image_paths(start, stop)
        return read_starts(paths, size) if all(paths) else [b""] * len(paths)

    def image_where(self, image: int) -> str:
        """Return the location of an image for messages: `Label.txt:3 (img_3.jpg)`."""
        if self.words is not None:
            return self.words.where(image)
        line = f":{self.image_line[image]}" if self.image_line[image] else ""
        return f"{self.label_files[self.image_label[image]]}{line} ({self.images[image]})"

    def where(self, index: int) -> str:
        """Return the location of an instance for messages: `gt_img_3.txt:17 (img_3.jpg, instance 17)`."""
        image = int(self.image_id[index])
        if self.words is not None:
            return self.words.where(image)
        number = index - int(np.searchsorted(self.image_id, image)) + 1
        line = int(self.lines[index]) or int(self.image_line[image])
        label = self.label_files[self.image_label[image]]
        return f"{label}{f':{line}' if line else ''} ({self.images[image]}, instance {number})"

    def subset(self, instances: NDArray[np.bool_], images: NDArray[np.bool_]) -> Annotations:
        """Select images (I,) and instances (N,), renumbered. A word image without its text is removed as a whole."""
        if self.words is not None:
            instances = images = instances & images
        keep = np.flatnonzero(instances & images[self.image_id])
        kept_images = np.flatnonzero(images)
        counts = np.diff(self.offsets)[keep]
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        rows = np.repeat(self.offsets[:-1][keep] - offsets[:-1], counts) + np.arange(offsets[-1])
        new_image = np.cumsum(images) - 1
        texts = self.texts
        return replace(
            self,
            images=[self.images[i] for i in kept_images],
            sizes=self.sizes[kept_images],
            image_label=self.image_label[kept_images],
            image_line=self.image_line[kept_images],
            points=self.points[rows],
            offsets=offsets,
            image_id=new_image[self.image_id[keep]].astype(np.int32),
            ignore=self.ignore[keep],
            lines=self.lines[keep],
            texts=[texts[i] for i in keep],
            extras={new: self.extras[int(old)] for new, old in enumerate(keep) if int(old) in self.extras}
            if self.extras
            else {},
            image_extras={
                new: self.image_extras[int(old)] for new, old in enumerate(kept_images) if int(old) in self.image_extras
            },
            malformed={new: self.malformed[int(old)] for new, old in enumerate(keep) if int(old) in self.malformed}
            if self.malformed
            else {},
            unchecked=[int(new_image[i]) for i in self.unchecked if images[i]],
            words=SelectedWords(self.words, kept_images.tolist(), [texts[i] for i in keep])
            if self.words is not None
            else None,
        )


def by_image(data: Annotations) -> Annotations:
    """Sort the instances of `data` by image, otherwise in their old order."""
    order = np.argsort(data.image_id, kind="stable")
    counts = np.diff(data.offsets)[order]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    rows = np.repeat(data.offsets[:-1][order] - offsets[:-1], counts) + np.arange(offsets[-1])
    return replace(
        data,
        points=data.points[rows],
        offsets=offsets,
        image_id=data.image_id[order],
        ignore=data.ignore[order],
        lines=data.lines[order],
        texts=[data.texts[i] for i in order],
        extras={new: data.extras[int(old)] for new, old in enumerate(order) if int(old) in data.extras},
        malformed={new: data.malformed[int(old)] for new, old in enumerate(order) if int(old) in data.malformed},
    )
