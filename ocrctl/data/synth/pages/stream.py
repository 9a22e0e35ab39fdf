"""Endless stream of synthetic pages: an index gives the same image and polygons in any order and any worker."""

from __future__ import annotations

from functools import cached_property
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.augment.degrade import degrade
from ocrctl.data.augment.sampler import EffectSampler
from ocrctl.data.images.warp import centre_matrix
from ocrctl.data.polygons.page_words import Floats, PageWords
from ocrctl.data.synth.pages.background import paper, photograph, scene, table
from ocrctl.data.synth.pages.canvas import Canvas
from ocrctl.data.synth.pages.config import KINDS, Kind, SynthPagesConfig
from ocrctl.data.synth.pages.paper import form, prose
from ocrctl.data.synth.pages.receipt import receipt
from ocrctl.data.synth.pages.sheet import Sheet
from ocrctl.data.synth.pages.signs import signs
from ocrctl.data.synth.pages.text import PageText

_SPLITS = (None, "train", "val")


class SynthPages:
    """Pages drawn by `config`. Pickled as its config alone; fonts, words and textures are loaded on use."""

    def __init__(self, config: SynthPagesConfig | None = None) -> None:
        self.config = config if config is not None else SynthPagesConfig()

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.config = state["config"]

    def sample(self, index: int) -> tuple[NDArray[np.uint8], PageWords]:
        """Return RGB uint8 (H, W, 3) and its words with character quads, a pure function of the settings and `index`
        (0 or more). Raises InputError when a background image cannot be read."""
        image, words, _ = self.sample_details(index)
        return image, words

    def sample_details(self, index: int) -> tuple[NDArray[np.uint8], PageWords, Kind]:
        """Return `sample(index)` and the kind of page."""
        config = self.config
        r = Random((3 * config.seed + _SPLITS.index(config.split) << 64) + index)
        kind = r.choices(KINDS, config.weights)[0]
        height, width = self._size(r, kind)
        sampler = EffectSampler(r, config.strength)
        bare = r.random() < config.textless
        if kind == "scene":
            canvas = Canvas(self._background(r, kind, height, width), config.smallest)
            if not bare:
                signs(r, self._text, canvas, config, sampler)
        else:
            canvas = self._document(r, kind, height, width, sampler, bare)
        words = canvas.words()
        return self._degrade(canvas, words, sampler), words, kind

    @cached_property
    def _text(self) -> PageText:
        return PageText(self.config)

    def _size(self, r: Random, kind: Kind) -> tuple[int, int]:
        config = self.config
        if config.height:
            return config.height, config.width
        longest = int(config.longest[0] + (config.longest[1] - config.longest[0] + 1) * r.random())
        shorter = int(longest * (0.5 + 0.25 * r.random() if kind in ("scene", "receipt") else 0.68 + 0.1 * r.random()))
        upright = r.random() < (0.35 if kind == "scene" else 0.9)
        return (longest, shorter) if upright else (shorter, longest)

    def _background(self, r: Random, kind: Kind, height: int, width: int) -> NDArray[np.uint8]:
        if self.config.backgrounds and r.random() < 0.5:
            return photograph(r, self.config.backgrounds, height, width)
        return scene(r, height, width) if kind == "scene" else table(r, height, width)

    def _document(self, r: Random, kind: Kind, height: int, width: int, sampler: EffectSampler, bare: bool) -> Canvas:
        """Draw a sheet on a table, or a scan of one."""
        scan = sampler.random() < 0.3 or sampler.strength == 0
        if kind == "receipt":
            across = width * (0.35 + 0.5 * r.random()) * (1.5 if r.random() < 0.2 else 1.0)
            sheet = receipt(r, self._text, round(across), round(across * 4))
        else:
            across = width * (0.95 if r.random() < 0.7 else 1.0 + 0.8 * r.random())
            tall = across * (1.25 + 0.2 * r.random())
            sheet = (prose if kind == "paper" else form)(r, self._text, round(tall), round(across))
        if bare:
            sheet.marks.clear()
        matrix = _sheet_matrix(sheet, height, width, sampler, scan)
        if scan:
            canvas = Canvas(paper(r, height, width), self.config.smallest)
            canvas.image[:] = (sheet.image.mean((0, 1)) * (1.0 if r.random() < 0.7 else 0.6)).astype(np.uint8)
        else:
            canvas = Canvas(self._background(r, kind, height, width), self.config.smallest)
        sheet.show(canvas, matrix, 0.0 if scan else 0.3 + 0.5 * r.random())
        return canvas

    def _degrade(self, canvas: Canvas, words: PageWords, sampler: EffectSampler) -> NDArray[np.uint8]:
        """Apply light, blur, noise and compression that keep the smaller words legible."""
        heights = words.heights()[~words.ignore]
        letters = float(np.clip(np.percentile(heights, 15), 8.0, 48.0)) if len(heights) else 20.0
        contrast = float(np.percentile(canvas.contrasts, 20)) if canvas.contrasts else 100.0
        return degrade(canvas.image, sampler, contrast, 0.75 * letters)


def _sheet_matrix(sheet: Sheet, height: int, width: int, sampler: EffectSampler, scan: bool) -> Floats:
    """Return the matrix of a sheet in the image: completely visible, or so close that it is cropped."""
    fit = min(width / sheet.width, height / sheet.height)
    near = sampler.random() < 0.45
    scale = fit * (0.75 + 0.23 * sampler.random()) if not near else max(fit, 1.0) * (0.85 + 0.3 * sampler.random())
    angle, tilt = 0.0, (0.0, 0.0)
    if scan:
        angle = sampler.jitter(0.03) * sampler.strength
    else:
        angle = sampler.jitter(0.15 if sampler.random() < 0.85 else 0.8) * sampler.strength
        if sampler.random() < 0.6:
            tilt = sampler.jitter(0.3) * sampler.strength, sampler.jitter(0.45) * sampler.strength
    view = centre_matrix(sheet.width, sheet.height, scale, angle, tilt, (sheet.width / 2, sheet.height / 2))
    slack_x, slack_y = width - sheet.width * scale, height - sheet.height * scale
    x, y = width / 2 + slack_x * (sampler.random() - 0.5) * 0.8, height / 2 + slack_y * (sampler.random() - 0.5) * 0.9
    return np.array(((1.0, 0.0, x), (0.0, 1.0, y), (0.0, 0.0, 1.0))) @ view
