"""`ocrctl dataset convert`: write a data set in another format."""

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
    """Write the data set in another format. Raises UsageError for an unknown format or one of the other task,
    InputError when an image is outside the set and `allow_outside` is False."""
    data = open_annotations(spec)
    check_outside_images(spec, data, allow_outside or not copy)
    if data.words is not None:
        words = word_format(format_name)
        if not copy:
            raise UsageError(f"{spec}: --labels-only is not supported for word images.", hint="remove --labels-only")
        return write_words(data, words, out, COMMAND, progress)
    return write_pages(data, format_name, out, COMMAND, copy=copy, progress=progress)
