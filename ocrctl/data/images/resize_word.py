"""Resize word images as training and inference both do: to one size, or to one height with the aspect ratio kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.data.images import Image
from ocrctl.data.images.decode import expect_image
from ocrctl.errors import InputError

SIMILAR = 0.8  # share of the width of a batch that an image has
MIN_BATCH = 8  # images of a batch


def resize_word(image: Image, height: int, width: int, channels: int, *, linear: bool = False) -> NDArray[np.uint8]:
    """Resize a word image (h, w, 3) RGB to (height, width, channels) uint8, C-contiguous. channels 1: luma grey.

    The aspect ratio is not kept. An axis that shrinks is averaged over area, one that grows is interpolated linearly,
    each separately: a long thin word shrinks along its width without aliasing while its height grows. linear: both
    axes are interpolated linearly.
    """
    expect_image(image)
    if channels == 1:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
    elif channels != 3:
        raise InputError(f"Expected 1 or 3 channels, found {channels}.")
    source_height, source_width = image.shape[:2]
    shrunk_height, shrunk_width = min(source_height, height), min(source_width, width)
    if linear:
        shrunk_height, shrunk_width = source_height, source_width
    if (shrunk_height, shrunk_width) != (source_height, source_width):
        image = cv2.resize(image, (shrunk_width, shrunk_height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if (shrunk_height, shrunk_width) != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return np.ascontiguousarray(image.reshape(height, width, channels))


def resize_kept(image: Image, height: int, kept: KeptAspect, channels: int, min_width: int = 0) -> NDArray[np.uint8]:
    """Resize a word image (h, w, 3) RGB to `height` rows with its aspect ratio: (height, width, channels) uint8.

    The width follows `kept`, which limits it at both ends: an image of one column is widened to the minimum, one of
    20,000 columns is compressed to the maximum. min_width: minimum columns of the result, up to
    the maximum.
    """
    expect_image(image)
    width = min(max(kept.width_of(image.shape[0], image.shape[1], height), min_width), kept.max_width)
    return resize_word(image, height, width, channels, linear=kept.linear)


def pad_words(images: Sequence[NDArray[np.uint8]], kept: KeptAspect) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Put images (H, w, C) of one height into a batch (N, H, W, C), black on their right, and return it with their
    widths, int64 (N,). W is the batch width of the widest (KeptAspect.batch_width)."""
    widths = np.array([image.shape[1] for image in images], np.int64)
    height, _, channels = images[0].shape
    batch = np.zeros((len(images), height, kept.batch_width(int(widths.max())), channels), np.uint8)
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1]] = image
    return batch, widths


def word_batches(
    images: Sequence[NDArray[np.uint8]], batch_size: int, kept: KeptAspect | None, example_width: int
) -> Iterator[tuple[list[int], NDArray[np.uint8], NDArray[np.int64] | None]]:
    """Divide resized images (H, W, C) into batches: (their indices, uint8 (N, H, W, C), widths int64 (N,)).

    Where the aspect ratio is kept, images of similar width are together, in batches of as many pixels as `batch_size`
    images of `example_width` have; else they are in order, and widths is None.
    """
    if kept is None:
        for start in range(0, len(images), batch_size):
            rows = list(range(start, min(start + batch_size, len(images))))
            yield rows, np.stack([images[row] for row in rows]), None
        return
    for rows in plan_batches([image.shape[1] for image in images], kept, batch_size * example_width):
        yield rows, *pad_words([images[row] for row in rows], kept)


def plan_batches(widths: Sequence[int], kept: KeptAspect, pixels: int) -> list[list[int]]:
    """Divide images by width into batches of at most `pixels` columns in all, padding included (at least one image
    each). Returns the indices of each batch.

    A batch ends early, from MIN_BATCH images on, where the next image is below SIMILAR of its width: padding costs more
    than one more batch. The widest images come first, so that memory is short at once or never.
    """
    order = sorted(range(len(widths)), key=lambda index: -widths[index])
    batches: list[list[int]] = []
    most = 0
    for index in order:
        full = not batches or (len(batches[-1]) + 1) * most > pixels
        if full or (len(batches[-1]) >= MIN_BATCH and widths[index] < SIMILAR * most):
            batches.append([])
            most = kept.batch_width(widths[index])
        batches[-1].append(index)
    return batches
