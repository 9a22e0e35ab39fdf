"""HTML reports of evaluated recognisers and of scored result files, with their images."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.core.eval.files import FilesResult, names_of
from ocrctl.core.eval.word_samples import EvalSamples
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.images.decode import decode
from ocrctl.errors import InputError, counted
from ocrctl.files.atomic import write_with_newline
from ocrctl.inference.writers.report.html import render
from ocrctl.inference.writers.report.pages import EmbeddedImage, render_pages
from ocrctl.metrics.evaluation import Evaluation, WorstSample
from ocrctl.metrics.instances import from_annotations

LONGEST_SIDE = 1280  # pixels of an image in the report
NAMED = 20  # images listed by name
WORD_HEIGHT = 160  # pixels; displayed at half of it for high-density screens


def write_words_report(path: Path, evaluation: Evaluation, data: Sequence[EvalSamples]) -> None:
    """Write one self-contained HTML file. Raises InputError when `path` cannot be written."""
    by_name = {samples.name: samples for samples in data}

    def sample_image(item: WorstSample) -> bytes:
        image = by_name[item.dataset].image(item.sample)
        height, width = image.shape[:2]
        if height > WORD_HEIGHT:
            size = (max(1, round(width * WORD_HEIGHT / height)), WORD_HEIGHT)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        assert done
        return encoded.tobytes()

    write_with_newline(path, render(evaluation, sample_image))


def write_files_report(path: Path, result: FilesResult) -> None:
    """Write one self-contained HTML file. Raises InputError when `path` cannot be written."""
    notes = []
    if result.without_prediction:
        names = names_of(result.without_prediction, NAMED)
        notes.append(
            f"{counted(len(result.without_prediction), 'image')} without a prediction, scored as nothing found: {names}"
        )
    if result.without_truth:
        names = names_of(result.without_truth, NAMED)
        notes.append(f"{counted(len(result.without_truth), 'image')} without ground truth, not scored: {names}")
    truth = from_annotations(result.pages)
    page = render_pages(
        f"{result.found} against {result.truth}", result.scores, truth, result.found_pages,
        lambda number: embed_image(result.pages, number), result.search, notes,
    )  # fmt: skip
    write_with_newline(path, page)


def embed_image(pages: Annotations, number: int) -> EmbeddedImage:
    """Return image `number` as a JPEG of at most LONGEST_SIDE; an empty frame around the polygons if it is
    unreadable."""
    try:
        pixels = decode(pages.image_bytes(number), pages.image_where(number))
    except InputError:
        width, height = pages.sizes[number].tolist()
        if not width or not height:
            start, stop = pages.spans()[number : number + 2].tolist()
            points = pages.points[pages.offsets[start] : pages.offsets[stop]]
            right, bottom = np.ceil(points.max(0, initial=1.0)).tolist() if len(points) else (640, 480)
            width, height = int(right) + 20, int(bottom) + 20
        return EmbeddedImage("", width, height)
    return embed(pixels)


def embed(pixels: NDArray[np.uint8]) -> EmbeddedImage:
    """Encode RGB uint8 (H, W, 3) as a JPEG of at most LONGEST_SIDE."""
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 75])
    return EmbeddedImage("data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode(), width, height)
