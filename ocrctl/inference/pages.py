"""Resize pages for a detector and map its boxes back, with the preprocessing and thresholds of the model card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard
from ocrctl.data.images.decode import expect_image
from ocrctl.data.images.resize_page import resize_page
from ocrctl.errors import InputError
from ocrctl.models.find import detector_spec, find, threshold_types
from ocrctl.models.outlines.detections import Detections
from ocrctl.models.registry import specs

LOW_SCORE = 0.05  # threshold of the score in a threshold search; at 0 noise would give thousands of boxes


@dataclass(frozen=True)
class Page:
    """A page as the input of a detector."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB, sides multiples of 32
    scale: tuple[float, float]  # (x, y) pixels of `image` for each pixel of the image
    size: tuple[int, int]  # (height, width) of the image


def check_detector(card: ModelCard, path: Path) -> None:
    """Raise InputError when `card` is of a detector that this version does not support."""
    side, spec = card.model.get("side"), specs().get(card.arch)
    if not (spec and spec.detector) or card.preprocessing != "page" or not isinstance(side, int) or side < 1:
        raise InputError(
            f"{path}: the card of a detector {card.arch} with preprocessing '{card.preprocessing}' and side {side} is "
            "not one that this version knows."
        )
    options, score = threshold_types(card.arch), spec.detector.score_threshold
    unknown = sorted(set(card.thresholds) - set(options))
    if unknown or score not in card.thresholds:
        raise InputError(
            f"{path}: the thresholds of its card should be {score} and others of {', '.join(options)}, "
            f"found {', '.join(card.thresholds) or 'none'}."
        )
    for name, value in card.thresholds.items():
        if options[name] is not float and not isinstance(value, options[name]):
            raise InputError(f"{path}: threshold {name} of its card should be {options[name].__name__}, found {value}.")


def prepare_page(image: NDArray[np.uint8], card: ModelCard) -> Page:
    """Resize RGB uint8 (h, w, 3) to the input of the model with this card. Raises InputError for another array."""
    expect_image(image)
    resized, scale = resize_page(image, card.model["side"])
    return Page(resized, scale, (image.shape[0], image.shape[1]))


def score_threshold(card: ModelCard) -> float:
    """Return the minimum score of an outline of the detector with this card."""
    return float(card.thresholds[detector_spec(card.arch).score_threshold])


def find_boxes(
    maps: Mapping[str, NDArray[np.float32]],
    page: Page,
    card: ModelCard,
    path: Path,
    *,
    polygons: bool,
    below_threshold: bool,
) -> Detections:
    """Find outlines in pixels of the image; see Engine.find."""
    thresholds = card.thresholds
    if below_threshold:
        thresholds = {**thresholds, detector_spec(card.arch).score_threshold: min(LOW_SCORE, score_threshold(card))}
    try:
        found = find(card.arch, maps, thresholds, polygons=polygons)
    except ValueError as error:
        raise InputError(f"{path}: {error}.") from error
    return found.on_image(page.scale, page.size)


def same_sized(pages: Iterable[Page], batch_size: int) -> Iterator[list[Page]]:
    """Group consecutive pages of one size into batches of at most `batch_size`."""
    batch: list[Page] = []
    for page in pages:
        if batch and (len(batch) == batch_size or page.image.shape != batch[0].image.shape):
            yield batch
            batch = []
        batch.append(page)
    if batch:
        yield batch
