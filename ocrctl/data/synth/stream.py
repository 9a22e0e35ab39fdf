"""The endless stream of word pictures: any index, any order, any worker, the same bytes."""

from __future__ import annotations

from functools import cached_property
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.dice import Dice
from ocrctl.data.synth.config import SynthWordsConfig
from ocrctl.data.synth.fonts import FontFile, find_fonts
from ocrctl.data.synth.labels import Labels
from ocrctl.data.synth.render import render
from ocrctl.data.synth.typeface import Typeface, open_typeface
from ocrctl.errors import UsageError

_TRIES = 12


class SynthWords:
    """Words drawn by `config`. Pickles as its config alone; fonts, words and textures load where they are used."""

    def __init__(self, config: SynthWordsConfig | None = None) -> None:
        self.config = config if config is not None else SynthWordsConfig.quickstart()

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.config = state["config"]

    @property
    def charset(self) -> str:
        """Every character a label can hold, sorted by code point."""
        return self._labels.charset

    def label(self, index: int) -> str:
        """The label of `sample(index)` without drawing it."""
        return self._labels.draw(self._random(index))

    def sample(self, index: int) -> tuple[NDArray[np.uint8], str]:
        """RGB uint8 (H, W, 3) and its label; a pure function of the settings and `index` (0 or more)."""
        image, label, _ = self.traced(index)
        return image, label

    def traced(self, index: int) -> tuple[NDArray[np.uint8], str, tuple[str, ...]]:
        """`sample(index)` and the names of the effects that were used, for tests and contact sheets."""
        config, r = self.config, self._random(index)
        label = self._labels.draw(r)
        face = self._face(r, label)
        dice = Dice(r, config.strength, self._off)
        neighbour = self._labels.any_word(r)
        image = render(label, face, dice, config.min_height, config.max_height, neighbour)
        return image, label, tuple(dice.fired)

    def _random(self, index: int) -> Random:
        return Random((self.config.seed << 64) + index)

    @cached_property
    def _labels(self) -> Labels:
        return Labels(self.config)

    @cached_property
    def _off(self) -> frozenset[str]:
        return frozenset(self.config.disable)

    @cached_property
    def _families(self) -> tuple[tuple[FontFile, ...], ...]:
        """Faces by family: one of twelve weights must not be drawn twelve times as often as one of a single weight."""
        config = self.config
        families: dict[str, list[FontFile]] = {}
        for font in find_fonts(config.fonts, config.bundled_fonts, config.system_fonts):
            families.setdefault(font.family, []).append(font)
        return tuple(tuple(faces) for faces in families.values())

    @cached_property
    def _hangul(self) -> tuple[tuple[FontFile, ...], ...]:
        kept = (tuple(f for f in family if ord("가") in open_typeface(f.path).cmap) for family in self._families)
        return tuple(family for family in kept if family)

    def _face(self, r: Random, label: str) -> Typeface:
        """A face that draws every character of `label`. Raises UsageError when no font does."""
        families = self._hangul if any("\uac00" <= c <= "\ud7a3" for c in label) else self._families
        for _ in range(_TRIES if families else 0):
            family = families[int(r.random() * len(families))]
            face = open_typeface(family[int(r.random() * len(family))].path)
            if face.draws(label):
                return face
        for family in families:
            for font in family:
                if (face := open_typeface(font.path)).draws(label):
                    return face
        raise UsageError(
            f"synth.fonts: no font draws every character of '{label}'; add a folder with a font that does."
        )
