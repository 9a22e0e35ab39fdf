"""The rows of metrics.csv, read line by line: a damaged line hides no other. Free of torch, for `ocrctl runs`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ocrctl.errors import InputError
from ocrctl.files.regular import read_regular

LEADING_COLUMNS = ("step", "samples", "seconds", "lr", "loss")
TRAILING_COLUMNS = ("images_per_second", "skipped")
SHOWN = 3  # damaged lines named in a sentence


@dataclass(frozen=True)
class MetricsRows:
    """`columns` as the file has them, its valid `rows` (text by column, `step` a whole number), and what is wrong with
    each line that is none."""

    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    damage: tuple[str, ...]

    @property
    def damaged(self) -> str:
        """Describe the damage, at most SHOWN lines of it."""
        more = f" and {len(self.damage) - SHOWN} more" if len(self.damage) > SHOWN else ""
        return "; ".join(self.damage[:SHOWN]) + more


def read_rows(path: Path) -> MetricsRows:
    """Read metrics.csv; no rows where there is no file. Raises InputError when the file cannot be read at all."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return MetricsRows((), [], ())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if not content:
        return MetricsRows((), [], ())
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")  # editors put a byte order mark there
    columns: tuple[str, ...] = ()
    rows: list[dict[str, str]] = []
    damage: list[str] = []
    for number, raw in enumerate(lines, 1):
        if number > 1 and not raw.strip():
            continue
        try:
            fields = _fields(raw)
            if number == 1:
                columns = _header(fields)
            else:
                rows.append(_row(columns, fields))
        except ValueError as error:
            damage.append(f"line {number}: {error}")
            if number == 1:
                break
    return MetricsRows(columns, rows, tuple(damage))


def _fields(raw: bytes) -> list[str]:
    """Fields of one line. Raises ValueError saying what is wrong with it."""
    if b"\0" in raw:
        raise ValueError("expected text, found NUL bytes")
    try:
        text = raw.removesuffix(b"\r").decode()
        return next(csv.reader([text], strict=True), [])
    except UnicodeDecodeError:
        raise ValueError("expected text, found bytes that are not UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"not comma-separated values ({error})") from None


def _header(fields: list[str]) -> tuple[str, ...]:
    if "step" not in fields or len(set(fields)) < len(fields):
        raise ValueError("expected the names of the columns, step among them, each once")
    return tuple(fields)


def _row(columns: tuple[str, ...], fields: list[str]) -> dict[str, str]:
    if len(fields) != len(columns):
        raise ValueError(f"expected {len(columns)} fields, found {len(fields)}")
    row = dict(zip(columns, fields, strict=True))
    if not row["step"].isdecimal() or len(row["step"]) > 18:
        raise ValueError(f"expected a number under step, found {row['step'][:40]!r}")
    for name, text in row.items():
        if text and is_figure(name) and not is_number(text):
            raise ValueError(f"expected a number under {name}, found {text[:40]!r}")
    return row


def is_figure(name: str) -> bool:
    """Return whether `name` is a column of ocrctl, which holds numbers."""
    return name in (*LEADING_COLUMNS, *TRAILING_COLUMNS) or name.startswith("val_")


def is_number(text: str) -> bool:
    """Return whether a field holds a number, as those of the model's own figures do."""
    try:
        float(text)
    except ValueError:
        return False
    return True
