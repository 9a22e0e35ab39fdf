"""`ocrctl dataset convert`."""

from __future__ import annotations

from pathlib import Path

from ocrctl.core.dataset_clean import finish_changes
from ocrctl.core.dataset_write import Written, write_pages
from ocrctl.data.formats import word_format
from ocrctl.data.sources import open_annotations
from ocrctl.errors import UsageError


def convert(spec: str, out: Path, format_name: str, *, copy: bool = True) -> Written:
    """Write the data set in another format. Raises UsageError when the format is unknown or holds other things."""
    finish_changes(spec)
    data = open_annotations(spec)
    if data.words is not None:
        words_format = word_format(format_name)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} exists already.", hint="Name a new folder.")
        out.mkdir(parents=True, exist_ok=True)
        words = data.words
        words_format.write(((words.image_bytes(i), words.labels[i]) for i in range(len(words))), out)
        return Written(out, len(words), len(words), {}, [])
    return write_pages(data, format_name, out, copy=copy)
