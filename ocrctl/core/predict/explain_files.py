"""Write the explanations of `predict --explain`: a sheet for each word image, a folder of sheets for each page."""

from __future__ import annotations

from pathlib import Path

from ocrctl.core.predict.image_folder import ImageFolder
from ocrctl.core.predict.read import TaskResult
from ocrctl.data.images.rectify import crop
from ocrctl.inference.writers.explanation import explanation_sheet
from ocrctl.inference.writers.prediction import PagePrediction, Unreadable

FOLDER = "explain"


class ExplainFiles(ImageFolder):
    """Sheets in `out`/explain: IMAGE.png of a word image; IMAGE/0001.png ... of a page, numbered as its boxes are in
    jsonl, without those that are less than a pixel high or wide."""

    def __init__(self, out: Path, polygons: bool) -> None:
        """`polygons`: as in PageReader.words. Raises as ImageFolder does."""
        super().__init__(out / FOLDER)
        self._polygons = polygons

    def add(self, item: TaskResult) -> None:
        """Draw the words of one result with its image. Raises as `write` does."""
        result = item.result
        if isinstance(result, Unreadable):
            return
        assert item.image is not None
        name = self.name(result.stem)
        if not isinstance(result, PagePrediction):
            self.write(name, explanation_sheet(item.image, item.words[0]))
            return
        from ocrctl.inference.reader import outlines  # with shapely, which words do not need

        places = outlines(result.found, self._polygons)
        for number, (points, word) in enumerate(zip(places, item.words, strict=True), 1):
            flat = crop(item.image, points)
            if flat is not None:
                self.write(f"{name}/{number:04d}", explanation_sheet(flat, word))
