"""The targets of each family of detectors from the words of a picture, as a loader's worker makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.targets.craft import craft_outlines, craft_targets
from ocrctl.data.targets.db import db_outlines, db_targets
from ocrctl.data.targets.packed import Packed
from ocrctl.data.targets.pan import pan_outlines, pan_targets

Maps = Mapping[str, NDArray[Any]]


def db_maps(words: PageWords, height: int, width: int) -> Maps:
    """Of dbnet and dbnetpp, for an input of height and width in pixels."""
    return db_targets(words.points, words.offsets, words.ignore, height, width)


def db_sent(words: PageWords, height: int, width: int) -> Packed:
    """What a device makes them from."""
    return db_outlines(words.points, words.offsets, words.ignore, height, width)


def pan_maps(words: PageWords, height: int, width: int) -> Maps:
    """Of pan."""
    return pan_targets(words.points, words.offsets, words.ignore, height, width)


def pan_sent(words: PageWords, height: int, width: int) -> Packed:
    """What a device makes them from."""
    return pan_outlines(words.points, words.offsets, words.ignore, height, width)


def craft_maps(words: PageWords, height: int, width: int) -> Maps:
    """Of craft, from the characters that the words have, or else from their texts."""
    return craft_targets(
        words.points, words.offsets, words.ignore, height, width,
        texts=words.texts, characters=words.characters, character_offsets=words.character_offsets,
    )  # fmt: skip


def craft_sent(words: PageWords, height: int, width: int) -> Packed:
    """What a device makes them from."""
    return craft_outlines(
        words.points, words.offsets, words.ignore, height, width,
        texts=words.texts, characters=words.characters, character_offsets=words.character_offsets,
    )  # fmt: skip


TARGETS: dict[str, Callable[[PageWords, int, int], Maps]] = {"db": db_maps, "pan": pan_maps, "craft": craft_maps}
"""by `ModelSpec.family`; functions of a module, so that they pickle into a loader's workers"""

OUTLINES: dict[str, Callable[[PageWords, int, int], Packed]] = {"db": db_sent, "pan": pan_sent, "craft": craft_sent}
"""the same for `data.targets=device`"""
