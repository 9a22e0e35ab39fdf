"""Write a set of word images as a new folder or LMDB, atomically."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ocrctl.core.dataset.write_pages import IMAGES, Written, safe_names
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import IMAGE_SUFFIX, Format, WordKeeps
from ocrctl.data.formats.fit_to_format import whole_characters
from ocrctl.data.images.tiff import has_several_pages
from ocrctl.data.lmdb.label_text import read_start
from ocrctl.data.lmdb.word_source import FolderWords, SelectedWords, WordSource
from ocrctl.errors import InputError
from ocrctl.files.folder import new_folder

_IMAGE = re.compile(rf".*{IMAGE_SUFFIX}$", re.IGNORECASE)
_UNSAFE = re.compile(r'[\s,"\[\]{}]')  # separators in formats of one line per word
_BREAK = re.compile(r"\r\n|\r|\n")


def write_words(
    data: Annotations, words: Format, out: Path, command: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:  # fmt: skip
    """Write the word images of `data`, with its texts, to the new folder `out`. Unreadable images are
    skipped and listed. Raises as `new_folder`, and InputError when no image is left."""
    with new_folder(out, command) as folder:
        return replace(fill_words(data, words, folder, progress), out=out)


def fill_words(
    data: Annotations, words: Format, folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:  # fmt: skip
    """Write word images to the empty `folder`, as `write_words`. Raises OSError, and InputError when no image is
    left."""
    readable, missing = _readable(data)
    if not len(readable):
        raise InputError(f"{data.name}: no image can be read; nothing was written.")
    lost: Counter[str] = Counter()
    texts = _fitted(readable.labels, words.KEEPS, lost)
    names = _names(readable, [data.images[index] for index in readable.indices], words.KEEPS, lost)

    several_pages: list[str] = []

    def samples() -> Iterator[tuple[bytes, str]]:
        for index, text in enumerate(texts):
            progress(index, len(readable))
            content = readable.image_bytes(index)
            if has_several_pages(content):
                several_pages.append(readable.where(index))
            yield content, text

    words.write(samples(), folder, *([names] if names is not None else []))
    losses = {what: count for what, count in lost.items() if count}
    return Written(folder, len(readable), len(readable), losses, missing, several_pages)


def _readable(data: Annotations) -> tuple[SelectedWords, list[str]]:
    """Return the readable images, and the locations of the others."""
    assert data.words is not None
    picks, missing = [], []
    for index, path in enumerate(data.image_paths(0, len(data.images))):
        try:
            if not path or not read_start(path, 1):
                data.image_bytes(index)
        except InputError:
            missing.append(data.image_where(index))
            continue
        picks.append(index)
    return SelectedWords(data.words, picks, [data.texts[index] for index in picks]), missing


def _fitted(texts: Sequence[str], keeps: WordKeeps, lost: Counter[str]) -> Iterator[str]:
    """Return the texts as the format can represent them; losses are counted in `lost` before iteration."""
    whole = [whole_characters(text, lost) for text in texts]
    broken = 0 if keeps.line_breaks else sum("\n" in text or "\r" in text for text in whole)
    lost["line breaks within a text become spaces"] += broken
    return (_BREAK.sub(" ", text) for text in whole) if broken else iter(whole)


def _names(words: SelectedWords, images: Sequence[str], keeps: WordKeeps, lost: Counter[str]) -> list[str] | None:
    """Return safe paths of the images below the folder of images; None to number them."""
    if not isinstance(_first(words), FolderWords):
        return None
    if not keeps.names or not all(_IMAGE.match(image) for image in images):
        lost["names of images are not kept"] += len(images)
        return None
    names = safe_names([_UNSAFE.sub("_", image) for image in images], unique_stems=False)
    lost["names of images are changed"] += sum(
        name != image.removeprefix(f"{IMAGES}/") for name, image in zip(names, images, strict=True)
    )
    return names


def _first(words: WordSource) -> WordSource:
    """Return the original source of samples that were picked, possibly repeatedly."""
    while isinstance(words, SelectedWords):
        words = words.source
    return words
