"""From SPECs of annotated pages to training and validation pages and a detector's card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.core.streams import pages_config
from ocrctl.core.train.check_data import CheckedPages, check_pages, refuse_errors
from ocrctl.data.augment.pages import PageAugment
from ocrctl.data.datasets.detection import PageSource, TrainingPages
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.data.formats.spec import expect_stream, open_annotations, parse_spec
from ocrctl.data.formats.to_page_words import expect_pages
from ocrctl.data.images.decode import Image
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.synth.pages.stream import SynthPages
from ocrctl.errors import UsageError
from ocrctl.models.family import load_part
from ocrctl.models.registry import family_of

SYNTH_PAGES = "synth:pages"
SYNTH_VAL = 100  # pages of a stream that validate


class ValidationPages:
    """Pages of several sources, one after another."""

    def __init__(self, picks: list[tuple[PageSource | SynthPages, int]]) -> None:
        self._picks = picks

    def __len__(self) -> int:
        return len(self._picks)

    def page(self, index: int) -> tuple[Image, PageWords]:
        """Picture RGB uint8 (H, W, 3) and its words. Raises InputError when it cannot be read."""
        part, place = self._picks[index]
        return part.page(place) if isinstance(part, PageSource) else part.sample(place)


@dataclass
class PageData:
    """All that training a detector needs of the data; the names it shares with TrainingData mean the same."""

    spec: ModelSpec
    card: ModelCard
    words: TrainingPages
    val: ValidationPages
    header: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    epoch_size: int | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)


def prepare_pages(settings: Settings, spec: ModelSpec, report: Callable[[str], None]) -> PageData:
    """Open, check and split annotated pages. Raises UsageError or InputError before anything is trained."""
    names = settings.data.train or [SYNTH_PAGES]
    header = [] if settings.data.train else [f"no data given (-d): training on {SYNTH_PAGES}"]
    size = (settings.page.height, settings.page.width)
    parts: list[PageSource | SynthPages] = []
    val: list[tuple[PageSource | SynthPages, int]] = []
    held_out: list[str] = []
    prints: dict[str, str] = {}
    checked = _checked(names, settings)
    header += [note for one in checked.values() for note in one.notes]
    for name in names:
        if name not in checked:
            parts.append(SynthPages(pages_config(settings, "train", height=size[0], width=size[1])))
            header.append(f"train: {name}, endless")
            continue
        source = PageSource(checked[name].data, None, _augment(settings))
        prints[source.data.name] = _print(source)
        if settings.data.val is None:
            source, held = _hold_out(source, settings)
            val += [(held, index) for index in range(len(held))]
            held_out += [held.where(index) for index in range(len(held))]
        parts.append(source)
        header.append(f"train: {name}, {len(source)} pages, {_words(source)} words")
    if settings.data.val in checked:
        source = PageSource(checked[settings.data.val].data, None, _augment(settings))
        prints[source.data.name] = _print(source)
        val = [(source, index) for index in range(len(source))]
    elif not val:
        stream = SynthPages(pages_config(settings, "val", height=0, width=0))
        val = [(stream, index) for index in range(SYNTH_VAL)]
    if len(val) > settings.data.max_val_samples:
        order = np.random.default_rng((settings.seed, 5)).permutation(len(val))
        val = [val[place] for place in np.sort(order[: settings.data.max_val_samples]).tolist()]
    how = settings.data.val or (
        f"held out by image, {settings.data.val_fraction:.0%}, seed {settings.seed}, listed in val_split.txt"
        if held_out
        else f"{SYNTH_PAGES}, pages that training never draws"
    )
    header.append(f"val: {len(val)} pages ({how}), longer side {settings.page.side} pixels")
    weights = settings.data.weights
    if weights is not None and (len(weights) != len(parts) or min(weights) < 0 or sum(weights) <= 0):
        raise UsageError(f"data.weights: expected {len(parts)} shares >= 0, one for each -d, found {weights}.")
    mixture = Mixture([len(p) if isinstance(p, PageSource) else None for p in parts], weights, settings.seed)
    if len(parts) > 1:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(names, mixture.shares, strict=True))
        header.append(f"mix: {shares}")
    from ocrctl import __version__

    card = detection_card(
        spec, settings.model, height=size[0], width=size[1], side=settings.page.side, version=__version__
    )
    pages = TrainingPages(parts, mixture, size, load_part(family_of(spec.name).targets), settings.seed)
    for line in header:
        report(line)
    return PageData(spec, card, pages, ValidationPages(val), header, held_out, mixture.epoch_size(), prints)


def _checked(names: list[str], settings: Settings) -> dict[str, CheckedPages]:
    """Every finite set by its SPEC, checked. Raises TrainingDataError with the errors of all."""
    sets: dict[str, CheckedPages] = {}
    for name in [*names, *([settings.data.val] if settings.data.val is not None else [])]:
        parsed = parse_spec(name)
        expect_stream(parsed, "pages")
        if parsed.format != "synth" and name not in sets:
            data = open_annotations(parsed)
            expect_pages(data)
            sets[name] = check_pages(name, data, settings.data)
    refuse_errors(list(sets.values()))
    return sets


def _augment(settings: Settings) -> PageAugment:
    page = settings.page
    return PageAugment(
        strength=page.augment, rotate=page.rotate, zoom=(page.zoom_min, page.zoom_max), flip=page.flip,
        mosaic=page.mosaic,
    )  # fmt: skip


def _hold_out(source: PageSource, settings: Settings) -> tuple[PageSource, PageSource]:
    """Part the pages into training and held-out ones, seeded."""
    if len(source) < 2:
        raise UsageError(
            f"{source.data.name}: one page cannot be split into training and validation.", hint="--val SPEC"
        )
    count = min(len(source) - 1, max(1, round(len(source) * settings.data.val_fraction)))
    order = np.random.default_rng((settings.seed, 4)).permutation(len(source))
    held, rest = (source.images[np.sort(part)] for part in (order[:count], order[count:]))
    return PageSource(source.data, rest, source.augment), PageSource(source.data, held)


def _words(source: PageSource) -> int:
    chosen: NDArray[np.bool_] = np.isin(source.data.image_id, source.images)
    return int((chosen & ~source.data.ignore).sum())


def _print(source: PageSource) -> str:
    data = source.data
    check = crc32(data.points.tobytes(), crc32("\n".join([*data.images, *data.texts]).encode()))
    return f"{len(data.images)} pages, labels {check:08x}"
