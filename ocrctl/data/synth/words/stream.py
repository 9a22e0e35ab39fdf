"""Endless stream of word images: an index gives the same bytes in any order and any worker."""

from __future__ import annotations

from functools import cached_property
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.augment.sampler import EffectSampler
from ocrctl.data.synth.words.config import SynthWordsConfig
from ocrctl.data.synth.words.font_families import FontFamilies
from ocrctl.data.synth.words.labels import Labels
from ocrctl.data.synth.words.render import render, rendered_size
from ocrctl.data.synth.words.typeface import Typeface, open_typeface


class SynthWords:
    """Words drawn by `config`. Pickled as its config alone; fonts, words and textures are loaded on use."""

    def __init__(self, config: SynthWordsConfig | None = None) -> None:
        self.config = config if config is not None else SynthWordsConfig.quickstart()

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.config = state["config"]

    @property
    def charset(self) -> str:
        """Return every character a label can hold, sorted by code point."""
        return self._labels.charset

    def label(self, index: int) -> str:
        """Return the label of `sample(index)` without drawing it."""
        return self._labels.draw(self._random(index))

    def sample(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """Return RGB uint8 (H, W, 3) and its label, a pure function of the settings and `index` (0 or more)."""
        image, label, _ = self.sample_details(index)
        return image, label

    def sample_details(self, index: int) -> tuple[NDArray[np.uint8], str, tuple[str, ...]]:
        """Return `sample(index)` and the names of the applied effects."""
        label, typeface, sampler, neighbour = self._drawn(index)
        image = render(label, typeface, sampler, self.config.min_height, self.config.max_height, neighbour)
        return image, label, tuple(sampler.applied)

    def size(self, index: int) -> tuple[tuple[int, int], str]:
        """Return (height, width) of the image of `sample(index)`, and its label, without drawing it."""
        label, typeface, sampler, neighbour = self._drawn(index)
        config = self.config
        return rendered_size(label, typeface, sampler, config.min_height, config.max_height, neighbour), label

    def _drawn(self, index: int) -> tuple[str, Typeface, EffectSampler, str]:
        """Sample label, typeface and neighbour of `index`; the sampler goes on from there."""
        r = self._random(index)
        label = self._labels.draw(r)
        typeface = self._typeface(r, label)
        sampler = EffectSampler(r, self.config.strength, self._off)
        return label, typeface, sampler, self._labels.any_word(r)

    def _random(self, index: int) -> Random:
        return Random((self.config.seed << 64) + index)

    @cached_property
    def _labels(self) -> Labels:
        return Labels(self.config)

    @cached_property
    def _off(self) -> frozenset[str]:
        return frozenset(self.config.disable)

    @cached_property
    def _fonts(self) -> FontFamilies:
        return FontFamilies(self.config)

    def _typeface(self, r: Random, label: str) -> Typeface:
        return open_typeface(self._fonts.pick(r, label).path)
