"""ICDAR 2013 focused scene text, `gt_img_1.txt` for each image: box and text, one instance per line; UTF-8.

    38, 43, 920, 215, "Tiredness"
    158 128 411 181 "Footpath"

Left, top, right, bottom in pixels, separated by commas (test set) or spaces (training set), the text in double quotes,
which are not escaped within it. With commas the quotes are optional. `###` is ignored. Written with commas and quotes.
Images are beside the texts, in the parent folder, or in a folder beside theirs.
https://rrc.cvc.uab.es/?ch=2&com=tasks (Task 2.1)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats._detection import Keeps, Rendered, box
from ocrctl.data.formats._gt_lines import folder_fits, parse_box, read_folder, render_folder

NAME = "icdar13"
LABEL_FILES = ("gt_*.txt",)
PER_IMAGE = True
KEEPS = Keeps("box", marks=(IGNORED,))

_EXPECTED = 'LEFT, TOP, RIGHT, BOTTOM, "TEXT"'


def sniff(path: Path) -> bool:
    return folder_fits(path, parse_box)


def read(path: Path) -> Annotations:
    return read_folder(path, NAME, parse_box, _EXPECTED)


def render(data: Annotations) -> Iterator[Rendered]:
    return render_folder(data, NAME, lambda i: ", ".join(map(str, box(data, i))) + ", ", '"')
