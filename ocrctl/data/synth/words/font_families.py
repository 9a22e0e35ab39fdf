"""Choose the font of a text: any that draws all of it, with families equally likely."""

from __future__ import annotations

from functools import cached_property
from random import Random

from ocrctl.data.synth.words.config import SynthWordsConfig
from ocrctl.data.synth.words.fonts import FontFile, find_fonts
from ocrctl.data.synth.words.typeface import open_typeface
from ocrctl.errors import UsageError

_TRIES = 12


class FontFamilies:
    """The typefaces of the settings; files are opened on use."""

    def __init__(self, config: SynthWordsConfig) -> None:
        self.config = config

    @cached_property
    def families(self) -> tuple[tuple[FontFile, ...], ...]:
        """Group fonts by family: one with twelve weights must not be sampled twelve times as often as one with a single
        weight."""
        config = self.config
        families: dict[str, list[FontFile]] = {}
        for font in find_fonts(config.fonts, config.bundled_fonts, config.system_fonts):
            families.setdefault(font.family, []).append(font)
        return tuple(tuple(fonts) for fonts in families.values())

    @cached_property
    def _hangul(self) -> tuple[tuple[FontFile, ...], ...]:
        kept = (tuple(f for f in family if ord("가") in open_typeface(f.path).cmap) for family in self.families)
        return tuple(family for family in kept if family)

    def pick(self, r: Random, label: str) -> FontFile:
        """Sample a font that draws every character of `label`. Raises UsageError when no font does."""
        families = self._hangul if any("\uac00" <= c <= "\ud7a3" for c in label) else self.families
        for _ in range(_TRIES if families else 0):
            family = families[int(r.random() * len(families))]
            font = family[int(r.random() * len(family))]
            if open_typeface(font.path).draws(label):
                return font
        for family in families:
            for font in family:
                if open_typeface(font.path).draws(label):
                    return font
        raise UsageError(
            f"synth.fonts: no font draws every character of '{label}'; add a folder with a font that does."
        )
