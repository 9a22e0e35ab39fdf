"""Write word predictions as lines: plain text, TSV, CSV, JSON lines and PaddleOCR's recognition labels."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocrctl.errors import InputError
from ocrctl.escape import cell, json_text, visible
from ocrctl.inference.writers.prediction import LineWriter, Prediction, characters_json


def text_line(prediction: Prediction, folder: Path | None = None) -> str:
    """Return the text alone; line breaks and other controls are escaped. Unreadable images have no line."""
    return visible(prediction.text)


def tsv_line(prediction: Prediction, folder: Path | None = None) -> str:
    """Return path, text and confidence; controls and backslashes are escaped (ocrctl/escape.py)."""
    return f"{cell(prediction.path)}\t{cell(prediction.text)}\t{prediction.confidence:.4f}"


def csv_line(prediction: Prediction, folder: Path | None = None) -> str:
    """Return path, text and confidence as one record."""
    return csv_record([prediction.path, prediction.text, f"{prediction.confidence:.4f}"])


def csv_record(fields: Sequence[str]) -> str:
    """Quote one record by RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180), without its line end.

    Line breaks, tabs and quotes are kept within quotes; other controls are escaped.
    """
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow([visible(field, keep="\t\r\n") for field in fields])
    return buffer.getvalue()


def jsonl_line(prediction: Prediction, folder: Path | None = None) -> str:
    """Return {"path": ..., "text": ..., "confidence": ...}, with "page" after the path for a page of a TIFF, and with
    "characters" where they are asked for."""
    page = {} if prediction.page is None else {"page": prediction.page}
    result: dict[str, Any] = {"text": prediction.text, "confidence": round(prediction.confidence, 6)}
    if prediction.characters is not None:
        result["characters"] = characters_json(prediction.characters)
    return json_text({"path": prediction.path, **page, **result})


def rec_gt_line(prediction: Prediction, folder: Path | None = None) -> str:
    """Return a row of PaddleOCR's recognition labels, path TAB text, which `train -d rec_gt.txt` reads.

    https://paddlepaddle.github.io/PaddleOCR/main/en/datasets/ocr_datasets.html
    The path is relative to `folder`, absolute without one. Raises InputError for a tab, a line break, or a name that is
    not UTF-8.
    """
    if any(char in field for field in (prediction.path, prediction.text) for char in "\t\r\n"):
        raise InputError(f"{prediction.path!r}: a tab or line break cannot be written as rec_gt; use jsonl.")
    try:
        prediction.path.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{prediction.path!r}: a name that is not UTF-8 cannot be written as rec_gt.") from error
    if "\\" in prediction.path and os.sep == "/":  # label files read a backslash as a folder separator of Windows
        raise InputError(f"{prediction.path!r}: a backslash in a name cannot be written as rec_gt.")
    parent, name = os.path.split(prediction.path)
    # Resolve links in both: ".." after a link leads to the parent of its target.
    path = os.path.join(os.path.realpath(parent), name)
    if folder is not None:
        path = os.path.relpath(path, os.path.realpath(folder))
    return f"{path}\t{prediction.text}"


TEXT = LineWriter("text", ".txt", "", text_line)
TSV = LineWriter("tsv", ".tsv", "path\ttext\tconfidence", tsv_line)
CSV = LineWriter("csv", ".csv", "path,text,confidence", csv_line)
JSONL = LineWriter("jsonl", ".jsonl", "", jsonl_line)
REC_GT = LineWriter("rec_gt", ".txt", "", rec_gt_line)
