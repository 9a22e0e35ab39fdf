"""Writing a set of word images as a new folder or LMDB; whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from ocrctl.core.dataset_write import Written
from ocrctl.data.annotations import Annotations
from ocrctl.data.formats import Format
from ocrctl.data.lmdb_place import partial_folder
from ocrctl.data.words import PickedWords
from ocrctl.errors import InputError, UsageError


def write_words(data: Annotations, words: Format, out: Path) -> Written:
    """Write the word images of `data`, with its texts, to the new folder `out`. One that cannot be read is left out and
    named. Raises UsageError when `out` is taken, InputError when it cannot be written or no image is left."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists already.", hint="Name a new folder.")
    partial = partial_folder(out)
    shutil.rmtree(partial, ignore_errors=True)
    readable, missing = _readable(data)
    if not len(readable):
        raise InputError(f"{data.name}: no image of it can be read; {out} is not written.")
    try:
        partial.mkdir(parents=True)
        words.write(((readable.image_bytes(index), text) for index, text in enumerate(readable.labels)), partial)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Written(out, len(readable), len(readable), {}, missing)


def _readable(data: Annotations) -> tuple[PickedWords, list[str]]:
    """The images that are there, and the places of those that are not."""
    assert data.words is not None
    picks, missing = [], []
    for index in range(len(data.images)):
        try:
            data.image_start(index, 1)
        except InputError:
            missing.append(data.image_where(index))
            continue
        picks.append(index)
    return PickedWords(data.words, picks, [data.texts[index] for index in picks]), missing
