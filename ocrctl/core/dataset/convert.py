"""`ocrctl dataset convert`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ocrctl.core.dataset.outside_images import check_outside_images
from ocrctl.core.dataset.write_pages import Written, write_pages
from ocrctl.core.dataset.write_words import write_words
from ocrctl.data.formats import word_format
from ocrctl.data.formats.spec import open_annotations
from ocrctl.errors import UsageError

COMMAND = "dataset convert"


def convert(
    spec: str,
    out: Path,
    format_name: str,
    *,
    copy: bool = True,
    allow_outside: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:
    """Write the data set in another format. Raises UsageError when the format is unknown or holds other things,
    InputError when an image lies outside the set and was not allowed to."""
    data = open_annotations(spec)
    check_outside_images(spec, data, allow_outside or not copy)
    if data.words is not None:
        words = word_format(format_name)
        if not copy:
            raise UsageError(f"{spec}: word images are written with their labels.", hint="Leave --labels-only out.")
        return write_words(data, words, out, COMMAND, progress)
    return write_pages(data, format_name, out, COMMAND, copy=copy, progress=progress)
