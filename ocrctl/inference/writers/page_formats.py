"""Write page predictions as lines: JSON lines, TSV and CSV, with texts where a recogniser has read the boxes.

TSV and CSV have one row per box: path, score, points as x1,y1,x2,y2..., then text and confidence. A page without boxes
has one row with its path only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ocrctl.escape import cell, json_text, visible
from ocrctl.inference.reading_order import reading_lines
from ocrctl.inference.writers.prediction import LineWriter, PagePrediction, characters_json
from ocrctl.inference.writers.results import coordinates
from ocrctl.inference.writers.word_formats import csv_record


def jsonl_line(prediction: PagePrediction, folder: Path | None = None) -> str:
    """Return one object per page, coordinates in pixels of the image, to a hundredth:

    {"path": ..., "height": 720, "width": 1280, "boxes": [{"points": [[x, y], ...], "score": 0.97}, ...]}

    with "text" and "confidence" in each box that a recogniser has read, and "characters" where they are asked for.
    """
    found = prediction.found
    boxes: list[dict[str, Any]] = [
        {"points": np.round(found.polygon(index).astype(float), 2).tolist(), "score": round(float(score), 6)}
        for index, score in enumerate(found.scores)
    ]
    for box, word in zip(boxes, prediction.words or (), strict=prediction.words is not None):
        box |= {"text": word.text, "confidence": round(word.confidence, 6)}
        if word.characters is not None:
            box["characters"] = characters_json(word.characters)
    height, width = prediction.size
    page = {} if prediction.page is None else {"page": prediction.page}
    return json_text({"path": prediction.path, **page, "height": height, "width": width, "boxes": boxes})


def tsv_lines(prediction: PagePrediction, folder: Path | None = None) -> str:
    """Return the rows of a page; controls and backslashes of its path are escaped."""
    return "\n".join("\t".join((cell(path), *rest)) for path, *rest in _boxes(prediction))


def csv_lines(prediction: PagePrediction, folder: Path | None = None) -> str:
    """Return the records of a page."""
    return "\n".join(csv_record(fields) for fields in _boxes(prediction))


def text_tsv_lines(prediction: PagePrediction, folder: Path | None = None) -> str:
    """Return the rows of a page with texts; controls and backslashes of path and texts are escaped."""
    return "\n".join(
        "\t".join((cell(path), *rest, cell(text), confidence))
        for (path, *rest), (text, confidence) in zip(_boxes(prediction), _texts(prediction), strict=True)
    )


def text_csv_lines(prediction: PagePrediction, folder: Path | None = None) -> str:
    """Return the records of a page with texts."""
    pairs = zip(_boxes(prediction), _texts(prediction), strict=True)
    return "\n".join(csv_record(fields + text) for fields, text in pairs)


def text_lines(prediction: PagePrediction, folder: Path | None = None) -> str:
    """Return the texts of a page in reading order, a row for each line of text; line breaks and other controls are
    escaped. An empty row ends a page."""
    words = prediction.words or ()
    lines = [[words[index].text for index in line] for line in reading_lines(prediction.found)]
    return "".join(visible(" ".join(filter(None, line))) + "\n" for line in lines if any(line))


def _boxes(prediction: PagePrediction) -> list[list[str]]:
    """Path, score and points of each box, or the path alone."""
    found = prediction.found
    rows = [
        [prediction.path, f"{score:.4f}", coordinates(found.polygon(index), digits=2)]
        for index, score in enumerate(found.scores)
    ]
    return rows or [[prediction.path, "", ""]]


def _texts(prediction: PagePrediction) -> list[list[str]]:
    """Text and confidence of each box, or two empty cells."""
    return [[word.text, f"{word.confidence:.4f}"] for word in prediction.words or ()] or [["", ""]]


JSONL = LineWriter("jsonl", ".jsonl", "", jsonl_line)
TSV = LineWriter("tsv", ".tsv", "path\tscore\tpoints", tsv_lines)
CSV = LineWriter("csv", ".csv", "path,score,points", csv_lines)
TEXT = LineWriter("text", ".txt", "", text_lines)
TEXT_TSV = LineWriter(TSV.name, TSV.suffix, f"{TSV.header}\ttext\tconfidence", text_tsv_lines)
TEXT_CSV = LineWriter(CSV.name, CSV.suffix, f"{CSV.header},text,confidence", text_csv_lines)
