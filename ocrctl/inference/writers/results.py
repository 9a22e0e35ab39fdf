"""Result texts of pages, as the Robust Reading Competition and CLEval take them: res_IMAGE.txt for each image.

    res_img_1.txt    377,117,463,117,465,130,378,130                    (submission: whole pixels)
    res_img_1.txt    377.25,117.5,...,378,130,0.9731                    (with the score)
    res_img_1.txt    377,117,463,117,465,130,378,130,Genaxis, Theatre   (read: the rest of the line is the text)

https://rrc.cvc.uab.es/?ch=4&com=tasks (Tasks 4.1 and 4.4)
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError
from ocrctl.inference.writers.prediction import PagePrediction

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*(,|$)", re.IGNORECASE)
_QUOTED = re.compile(r'\s*".*"\s*$', re.DOTALL)


def result_name(prediction: PagePrediction) -> str:
    """Return the name of a result file: `res_img_1.txt` for `photos/img_1.jpg`, page 2 of `scan.tif` ->
    `res_scan#2.txt`."""
    return f"res_{prediction.stem}.txt"


def result_text(prediction: PagePrediction, *, scores: bool) -> str:
    """Format one line per box: its points, with `scores` fractions of pixels and the score behind them, then its text.

    Raises InputError when a line break in a text would break its line.
    """
    found = prediction.found
    lines = []
    for index, score in enumerate(found.scores):
        points = found.polygon(index)
        line = coordinates(points, digits=2 if scores else 0) + (f",{score:.4f}" if scores else "")
        if prediction.words is not None:
            text = prediction.words[index].text
            if any(char in text for char in "\r\n"):
                raise InputError(f"{prediction.path}: {text!r} has a line break, which a result line cannot hold.")
            line += "," + result_word(text, quad=len(points) == 4 and not scores)
        lines.append(f"{line}\n")
    return "".join(lines)


def result_word(text: str, *, quad: bool) -> str:
    """Format `text` as the last field of a line, in quotes where the official scripts would misread it.

    They remove quotes around a text, and read numbers at its start as further points, except one after a quad.
    """
    number = _NUMBER.match(text)
    if _QUOTED.match(text) or (number and (number[3] or not quad)):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return text


def submission(texts: Iterable[tuple[str, str]]) -> bytes:
    """Build the zip of (name, text) to upload; the same bytes for the same results."""
    import zipfile  # other formats do not need it

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text.encode("utf-8", "surrogateescape"))
    return buffer.getvalue()


def coordinates(points: NDArray[np.floating], digits: int) -> str:
    """Format (n, 2) points as x1,y1,x2,y2..., rounded to `digits` after the decimal point, none where they are zero."""
    values = np.round(points.astype(np.float64), digits).ravel() + 0.0  # no -0
    return ",".join(str(int(value)) if value == int(value) else f"{value:.{digits}f}" for value in values)
