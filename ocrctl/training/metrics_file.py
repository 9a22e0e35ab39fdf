"""metrics.csv: the figures of a run, one row per log or validation."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ocrctl.files.regular import read_regular
from ocrctl.training.checkpoints import cannot_save, write_atomically
from ocrctl.training.metrics_rows import LEADING_COLUMNS, TRAILING_COLUMNS, read_rows

Row = dict[str, float]
DAMAGED = "metrics.damaged.csv"  # where a file with lines that are no rows is kept


class MetricsFile:
    """metrics.csv: one row per log or validation, appended whole or not at all."""

    def __init__(self, path: Path, resume_step: int, columns: Sequence[str], report: Callable[[str], None]) -> None:
        """`columns`: those of the validation; unknown columns of the file are kept.

        Rows past `resume_step` (written after the checkpoint that the run resumes from) are dropped. Damaged
        lines are reported, and the file with them is kept as DAMAGED. Raises InputError when the file cannot be read,
        ResumableStop when it cannot be written.
        """
        self.path = path
        found = read_rows(path)
        own = (*LEADING_COLUMNS, *columns, *TRAILING_COLUMNS)
        self.columns = (*own, *(name for name in found.columns if resume_step and name not in own))
        if found.damage and resume_step:
            content = read_regular(path)
            write_atomically(path.with_name(DAMAGED), lambda file: file.write(content))
            report(f"{path}: {len(found.damage)} damaged lines left out, kept in {DAMAGED}; {found.damaged}")
        rows = [row for row in found.rows if int(row["step"]) <= resume_step] if resume_step else []
        text = self._text({name: name for name in self.columns}, *rows)
        write_atomically(path, lambda file: file.write(text))

    def add(self, row: Row) -> None:
        """Append one row; missing columns stay empty. Raises ResumableStop, with the file as it was, when it cannot be
        written."""
        line = self._text(
            {key: f"{value:.6g}" if isinstance(value, float) else str(value) for key, value in row.items()}
        )
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            handle = os.open(self.path, flags, 0o666)
            try:
                size = os.fstat(handle).st_size
                if os.write(handle, line) != len(line):
                    os.ftruncate(handle, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)
        except OSError as error:
            raise cannot_save(self.path, "a row", error) from error

    def sync(self) -> None:
        """Wait until the rows are on the disk, before a checkpoint that is ahead of them. Raises as `add`."""
        try:
            with self.path.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_save(self.path, "a row", error) from error

    def _text(self, *rows: dict[str, str]) -> bytes:
        text = io.StringIO()
        csv.DictWriter(text, self.columns).writerows(rows)
        return text.getvalue().encode()
