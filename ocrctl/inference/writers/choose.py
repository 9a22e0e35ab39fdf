"""The writer behind each name of `predict --format`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import UsageError
from ocrctl.inference.writers import jsonl, rec_gt, tsv, txt
from ocrctl.inference.writers.prediction import Prediction


class Writer(Protocol):
    """What one format's module offers; HEADER is the first line, "" for none."""

    NAME: str
    SUFFIX: str
    HEADER: str

    def line(self, prediction: Prediction, folder: Path | None = None) -> str:
        """The line of one prediction, without its end, in a file in `folder` (None: stdout).

        Raises InputError when the format cannot hold it.
        """


WRITERS: dict[str, Writer] = {writer.NAME: writer for writer in (txt, tsv, jsonl, rec_gt)}


def get_writer(name: str) -> Writer:
    """The writer called `name`; UsageError with the nearest name when there is none."""
    if name not in WRITERS:
        raise UsageError(f"unknown format '{name}' (known: {', '.join(WRITERS)}).{did_you_mean(name, WRITERS)}")
    return WRITERS[name]
