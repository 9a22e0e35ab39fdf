"""ICDAR 2015 incidental scene text, `gt_img_1.txt` for each image: eight numbers and the text; UTF-8, often a BOM.

    377,117,463,117,465,130,378,130,Genaxis Theatre
    493,115,519,115,519,131,493,131,###

x1,y1,...,x4,y4 in pixels, clockwise from the top left of the text; the rest of the line is the text, commas included.
`###` is ignored. Written with LF ends and no BOM. SROIE's task 1 and ICDAR 2017 MLT without its script column have the
same lines. Images are beside the texts, in the parent folder, or in a folder beside theirs.
https://rrc.cvc.uab.es/?ch=4&com=tasks (Task 4.1)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats._detection import Keeps, Rendered, flat_points
from ocrctl.data.formats._gt_lines import folder_fits, is_quad, parse_quad, read_folder, render_folder

NAME = "icdar15"
LABEL_FILES = ("gt_*.txt",)
PER_IMAGE = True
KEEPS = Keeps("quad", marks=(IGNORED,))

_EXPECTED = "8 numbers and the text, separated by commas"


def sniff(path: Path) -> bool:
    return folder_fits(path, is_quad)


def read(path: Path) -> Annotations:
    return read_folder(path, NAME, parse_quad, _EXPECTED)


def render(data: Annotations) -> Iterator[Rendered]:
    return render_folder(data, NAME, lambda i: ",".join(map(str, flat_points(data, i))) + ",")
