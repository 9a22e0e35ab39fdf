"""HTML report of an evaluation, with the images of its worst samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

from ocrctl.core.eval.word_samples import EvalSamples
from ocrctl.files.atomic import write_with_newline
from ocrctl.inference.writers.report.html import render
from ocrctl.metrics.evaluation import Evaluation, WorstSample

IMAGE_HEIGHT = 160  # pixels; displayed at half of it for high-density screens


def write_page(path: Path, evaluation: Evaluation, data: Sequence[EvalSamples]) -> None:
    """Write one self-contained HTML file. Raises InputError when `path` cannot be written."""
    by_name = {samples.name: samples for samples in data}

    def sample_image(item: WorstSample) -> bytes:
        image = by_name[item.dataset].image(item.sample)
        height, width = image.shape[:2]
        if height > IMAGE_HEIGHT:
            size = (max(1, round(width * IMAGE_HEIGHT / height)), IMAGE_HEIGHT)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        assert done
        return encoded.tobytes()

    write_with_newline(path, render(evaluation, sample_image))
