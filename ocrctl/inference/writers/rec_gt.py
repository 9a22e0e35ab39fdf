"""PaddleOCR's recognition label file: path TAB text. What `predict` writes, `train -d rec_gt.txt` can read back.

https://paddlepaddle.github.io/PaddleOCR/main/en/datasets/ocr_datasets.html
"""

from __future__ import annotations

from ocrctl.errors import InputError
from ocrctl.inference.writers.prediction import Prediction

NAME = "rec_gt"
SUFFIX = ".txt"
HEADER = ""


def line(prediction: Prediction) -> str:
    """One row. Raises InputError when a tab or a line break in a field would break it."""
    if any(char in field for field in (prediction.path, prediction.text) for char in "\t\r\n"):
        raise InputError(f"{prediction.path!r}: a tab or line break cannot be written as rec_gt; use jsonl.")
    return f"{prediction.path}\t{prediction.text}"
