"""PaddleOCR's recognition label file: path TAB text. What `predict` writes, `train -d rec_gt.txt` can read back.

https://paddlepaddle.github.io/PaddleOCR/main/en/datasets/ocr_datasets.html
"""

from __future__ import annotations

import os
from pathlib import Path

from ocrctl.errors import InputError
from ocrctl.inference.writers.prediction import Prediction

NAME = "rec_gt"
SUFFIX = ".txt"
HEADER = ""


def line(prediction: Prediction, folder: Path | None = None) -> str:
    """One row; the path starts from `folder`, as it is read back, and from the root where there is none.

    Raises InputError when a tab, a line break or a name that is not UTF-8 would break it.
    """
    if any(char in field for field in (prediction.path, prediction.text) for char in "\t\r\n"):
        raise InputError(f"{prediction.path!r}: a tab or line break cannot be written as rec_gt; use jsonl.")
    try:
        prediction.path.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{prediction.path!r}: a name that is not UTF-8 cannot be written as rec_gt.") from error
    if "\\" in prediction.path and os.sep == "/":  # label files of Windows write folders so, and are read so
        raise InputError(f"{prediction.path!r}: a backslash in a name cannot be written as rec_gt.")
    place, name = os.path.split(prediction.path)
    # Both without links: ".." after a link leads elsewhere than it looks.
    path = os.path.join(os.path.realpath(place), name)
    if folder is not None:
        path = os.path.relpath(path, os.path.realpath(folder))
    return f"{path}\t{prediction.text}"
