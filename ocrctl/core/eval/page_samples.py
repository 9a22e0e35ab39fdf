"""Open the pages of an evaluation: any SPEC of annotated pages, or synth:pages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ocrctl.core.eval.word_samples import SYNTH_SEED_OFFSET, unique_names
from ocrctl.core.settings import load_settings
from ocrctl.core.streams import pages_config
from ocrctl.data.datasets.detection import PageSource
from ocrctl.data.formats.spec import Spec, expect_stream, open_annotations, parse_spec
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.synth.pages.stream import SynthPages
from ocrctl.errors import UsageError

SYNTH_PAGES = 100  # of the endless stream without --limit


class EvalPages:
    """Numbered pages with their words; safe to read from several threads."""

    def __init__(self, spec: Spec, name: str, pages: PageSource | SynthPages, count: int) -> None:
        """Use the first `count` of `pages`."""
        self.name, self.spec = name, spec.raw
        self._pages, self._count = pages, count
        self._rendered: dict[int, PageWords] = {}  # cache of synthetic pages, which are slow to render

    def __len__(self) -> int:
        return self._count

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the page, RGB uint8 (H, W, 3). Raises InputError naming the page when it cannot be decoded."""
        if isinstance(self._pages, PageSource):
            return self._pages.page(index)[0]
        image, self._rendered[index] = self._pages.sample(index)
        return image

    def words(self, index: int) -> PageWords:
        """Return the words of a page, in pixels of the page."""
        if isinstance(self._pages, PageSource):
            return self._pages.words(index)
        if index not in self._rendered:
            self.image(index)
        return self._rendered[index]

    def image_name(self, index: int) -> str:
        """Return the name of a page for messages."""
        if isinstance(self._pages, PageSource):
            return self._pages.data.images[int(self._pages.images[index])]
        return f"{self.spec} {index}"


def open_pages(specs: Sequence[str], limit: int | None, seed: int, sets: Sequence[str]) -> list[EvalPages]:
    """Open every SPEC, the first `limit` pages of each; names are made unique; `sets` are `synth.*=value` settings.

    Raises UsageError or InputError, before any model has run, for a SPEC that cannot be read or contains words.
    """
    parsed = [parse_spec(raw) for raw in specs]
    if sets and not any(spec.format == "synth" for spec in parsed):
        raise UsageError("--set changes synth:pages, which is not among the data.")
    if foreign := [text for text in sets if not text.startswith("synth.")]:
        raise UsageError(f"--set {foreign[0]}: eval supports only the settings synth.*.")
    opened = []
    for spec, name in zip(parsed, unique_names(parsed), strict=True):
        if spec.format == "synth":
            expect_stream(spec, "pages")
            config = pages_config(load_settings(sets=list(sets)), "val").with_(seed=seed + SYNTH_SEED_OFFSET)
            opened.append(EvalPages(spec, name, SynthPages(config), limit or SYNTH_PAGES))
        else:
            source = PageSource(open_annotations(spec))
            opened.append(EvalPages(spec, name, source, min(limit or len(source), len(source))))
    return opened
