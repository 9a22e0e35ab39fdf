"""Write the results of pages as files: result texts, submissions, overlays, data sets with their images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.core.dataset.write_pages import write_pages
from ocrctl.core.predict.image_folder import ImageFolder
from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import Annotations
from ocrctl.errors import InputError, UsageError
from ocrctl.files.atomic import write_bytes
from ocrctl.files.folder import new_folder
from ocrctl.inference.writers.overlay import draw
from ocrctl.inference.writers.prediction import PagePrediction
from ocrctl.inference.writers.results import result_name, result_text, submission
from ocrctl.inference.writers.select import PAGE_FILES, PAGE_WRITERS

SUBMISSION = "submission.zip"
SCORE, CONFIDENCE = "score", "confidence"  # keys of an instance for polygon and text, where the format has them


class PageFiles:
    """Collect pages and write them below `out` in a format of files; formats of lines are written elsewhere.

    `path` is the output: `out`/submission.zip or a folder with the name of the format, None for lines. Raises
    UsageError when that folder is not empty.
    """

    def __init__(self, format_name: str, out: Path, root: str | None = None) -> None:
        """`root`: the folder that image names in the input are relative to (`input_root`)."""
        self.format, self._root = format_name, root
        self.path: Path | None = None
        if format_name not in PAGE_WRITERS:
            self.path = out / (SUBMISSION if format_name == "submission" else format_name)
        self.lost: dict[str, int] = {}
        self._pages: list[PagePrediction] = []
        self._texts: dict[str, str] = {}  # of txt and submission, by name
        self._images: ImageFolder | None = None
        if self.path is not None and self.draws:
            self._images = ImageFolder(self.path)
        elif self.path is not None and self.path.is_dir() and any(self.path.iterdir()):
            raise UsageError(f"{self.path} exists already.", hint="choose another folder with -o")

    def __enter__(self) -> PageFiles:
        """Create the partial folder for overlays, which are written one by one."""
        if self._images is not None:
            self._images.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Release the folder; overlays drawn before an interruption stay in the partial folder."""
        if self._images is not None:
            self._images.__exit__(*error)

    @property
    def draws(self) -> bool:
        """Return whether `add` requires images."""
        return self.format == "overlay"

    @property
    def copies(self) -> bool:
        """Return whether the images are copied, so that they must be files."""
        return self.path is not None and self.format not in PAGE_FILES

    def add(self, page: PagePrediction, image: NDArray[np.uint8] | None) -> None:
        """Take one page. Raises InputError when the format cannot hold it beside those before."""
        if self.path is None:
            return
        if self._images is not None:
            assert image is not None
            texts = None if page.words is None else [word.text for word in page.words]
            found = [one for word in page.words or () for one in word.characters or () if not np.isnan(one.x)]
            drawn = draw(image, page.found, texts, [(one.x, one.y) for one in found])
            self._images.write(self._images.name(page.stem), drawn)
        elif self.format in ("txt", "submission"):
            if (name := result_name(page)) in self._texts:
                raise InputError(f"{page.path}: an earlier image has the same name {name} in {self.format}.")
            self._texts[name] = result_text(page, scores=self.format == "txt")
        else:
            self._pages.append(page)

    def finish(self) -> None:
        """Write the collected pages. Raises InputError or ResumableStop when they cannot be written."""
        if self.path is None:
            return
        if self._images is not None:
            self._images.publish()
        elif self.format == "submission":
            write_bytes(self.path, submission(self._texts.items()))
        elif self.format == "txt":
            with new_folder(self.path, "predict") as folder:
                for name, text in self._texts.items():
                    (folder / name).write_text(text, encoding="utf-8")
        else:
            written = write_pages(_annotations(self._pages, self.format, self._root), self.format, self.path, "predict")
            self.lost = written.lost
            if written.missing:
                self.lost["images are missing and were not copied"] = len(written.missing)


def _annotations(pages: list[PagePrediction], format_name: str, within: str | None) -> Annotations:
    """Return the pages as annotations of `format_name`; names are relative to `within`, or to the common folder of the
    images when one is outside of it."""
    paths = [os.path.abspath(page.path) for page in pages]
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    if within is not None and os.path.commonpath([within, root]) == within:
        root = within
    builder = Builder(Path(root), format_name)
    builder.label_file(root)
    for page, path in zip(pages, paths, strict=True):
        height, width = page.size
        image = builder.image(os.path.relpath(path, root), size=(width, height))
        for index, score in enumerate(page.found.scores):
            points = np.round(page.found.polygon(index).astype(np.float64), 2)
            text, extra = "", {SCORE: round(float(score), 6)}
            if page.words is not None:
                text, extra[CONFIDENCE] = page.words[index].text, round(page.words[index].confidence, 6)
            builder.add(image, points.ravel().tolist(), text, False, extra=extra)
    return builder.build(root)
