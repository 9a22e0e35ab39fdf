"""Training data of a detector: open, check and split the annotated pages of the SPECs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.core.streams import pages_config
from ocrctl.core.train.check_data import CheckedPages, check_pages, raise_page_errors
from ocrctl.core.train.task import (
    BatchFit,
    OverfitBatch,
    Report,
    describe_validation,
    few_samples_warning,
    mix_sources,
    split_indices,
    training_specs,
    validation_subset,
)
from ocrctl.data.augment.pages import PageAugment
from ocrctl.data.datasets.detection import PageSource, TrainingPages
from ocrctl.data.formats.spec import expect_stream, open_annotations, parse_spec
from ocrctl.data.formats.to_page_words import expect_pages
from ocrctl.data.images import Image
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.synth.pages.stream import SynthPages
from ocrctl.errors import UsageError, counted
from ocrctl.models.family import load_part
from ocrctl.models.registry import family_of

if TYPE_CHECKING:
    from ocrctl.models.ocr_model import OCRModel
    from ocrctl.training.validation import Validation

SYNTH_PAGES = "synth:pages"
SYNTH_VAL_PAGES = 100  # pages of the stream used for validation
PREFLIGHT_PAGES = 2  # pages in the batch that --preflight overfits
PREFLIGHT_HMEAN = 0.9  # of the boxes found on them


class ValidationPages:
    """Validation pages of several sources, one after another."""

    def __init__(self, picks: list[tuple[PageSource | SynthPages, int]]) -> None:
        self._picks = picks

    def __len__(self) -> int:
        return len(self._picks)

    def page(self, index: int) -> tuple[Image, PageWords]:
        """Return page `index`, RGB uint8 (H, W, 3), and its words. Raises InputError when it cannot be read."""
        part, number = self._picks[index]
        return part.page(number) if isinstance(part, PageSource) else part.sample(number)


@dataclass
class DetectionTask:
    """Annotated pages to train and validate a detector on; see TrainingTask."""

    spec: ModelSpec
    card: ModelCard
    samples: TrainingPages
    val: ValidationPages
    held_out: list[str] = field(default_factory=list)
    epoch_size: int | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)
    synth_spec: str = SYNTH_PAGES

    def validation(self, settings: Settings) -> Validation:
        """Implement TrainingTask."""
        from ocrctl.training.page_validation import PageValidation

        return PageValidation(self.val, self.card, settings.page.side)

    def check_labels(self, report: Report) -> str | None:
        """Implement TrainingTask: a detector learns no labels."""
        return None

    def overfit_batch(self, numbers: Sequence[int] = range(PREFLIGHT_PAGES)) -> OverfitBatch:
        """Implement TrainingTask, for the draws `numbers`."""
        from ocrctl.metrics.hmean import match
        from ocrctl.metrics.instances import from_detections, from_words
        from ocrctl.models.find import find

        truth = from_words([self.samples.sample(n)[1] for n in numbers])

        def score(model: OCRModel, batch: dict[str, Any]) -> BatchFit:
            outputs = {name: value.float().cpu().numpy() for name, value in model(batch["images"]).items()}
            rows = [{name: value[row] for name, value in outputs.items()} for row in range(len(numbers))]
            pages = [find(self.card.arch, row, self.card.thresholds) for row in rows]
            found = from_detections(pages)
            counts = match(truth, found).total()
            mistake = f"{counts.matched} of {counts.truths} words found by {counts.detections} boxes"
            complete = counts.hmean >= PREFLIGHT_HMEAN or not counts.truths
            boxes = tuple(counted(len(page), "box", "boxes") if len(page) else "" for page in pages)
            return BatchFit(complete, f"hmean {counts.hmean:.2f}", mistake, boxes, counts.recall)

        return OverfitBatch(list(numbers), score)


def prepare(settings: Settings, spec: ModelSpec, report: Report) -> DetectionTask:
    """Open, check and split the annotated pages. Raises UsageError or InputError before anything is trained."""
    names, header = training_specs(settings, SYNTH_PAGES)
    size = (settings.page.height, settings.page.width)
    parts: list[PageSource | SynthPages] = []
    val: list[tuple[PageSource | SynthPages, int]] = []
    held_out: list[str] = []
    fingerprints: dict[str, str] = {}
    checked = _checked(names, settings)
    header += [note for one in checked.values() for note in one.notes]
    for name in names:
        if name not in checked:
            parts.append(SynthPages(pages_config(settings, "train", height=size[0], width=size[1])))
            header.append(f"train: {name}, endless")
            continue
        source = PageSource(checked[name].data, None, _augment(settings))
        fingerprints[source.data.name] = checked[name].fingerprint
        if settings.data.val is None:
            source, held = _split(source, settings)
            val += [(held, index) for index in range(len(held))]
            held_out += [held.where(index) for index in range(len(held))]
        parts.append(source)
        header.append(f"train: {name}, {counted(len(source), 'page')}, {counted(_count_words(source), 'word')}")
    if settings.data.val in checked:
        source = PageSource(checked[settings.data.val].data, None, _augment(settings))
        fingerprints[source.data.name] = checked[settings.data.val].fingerprint
        val = [(source, index) for index in range(len(source))]
    elif not val:
        stream = SynthPages(pages_config(settings, "val", height=0, width=0))
        val = [(stream, index) for index in range(SYNTH_VAL_PAGES)]
    finite = bool(held_out) or settings.data.val in checked
    val = [val[index] for index in validation_subset(len(val), settings)]
    origin = describe_validation(settings, bool(held_out), SYNTH_PAGES)
    header.append(f"val: {counted(len(val), 'page')} ({origin}), longer side {settings.page.side} pixels")
    if finite:
        header += few_samples_warning(len(val), "page", settings)
    sizes = [len(part) if isinstance(part, PageSource) else None for part in parts]
    mixture, lines = mix_sources(names, sizes, settings)
    header += lines
    from ocrctl import __version__

    card = detection_card(
        spec, settings.model, height=size[0], width=size[1], side=settings.page.side, version=__version__
    )
    samples = TrainingPages(parts, mixture, size, load_part(family_of(spec.name).targets), settings.seed)
    for line in header:
        report(line)
    return DetectionTask(spec, card, samples, ValidationPages(val), held_out, mixture.epoch_size(), fingerprints)


def _checked(names: list[str], settings: Settings) -> dict[str, CheckedPages]:
    """Open and check every finite set; returns them by SPEC. Raises TrainingDataError with the errors of all."""
    sets: dict[str, CheckedPages] = {}
    for name in [*names, *([settings.data.val] if settings.data.val is not None else [])]:
        parsed = parse_spec(name)
        expect_stream(parsed, "pages")
        if parsed.format != "synth" and name not in sets:
            data = open_annotations(parsed)
            expect_pages(data)
            sets[name] = check_pages(name, data, settings.data)
    raise_page_errors(list(sets.values()))
    return sets


def _augment(settings: Settings) -> PageAugment:
    page = settings.page
    return PageAugment(
        strength=page.augment, rotate=page.rotate, zoom=(page.zoom_min, page.zoom_max), flip=page.flip,
        mosaic=page.mosaic,
    )  # fmt: skip


def _split(source: PageSource, settings: Settings) -> tuple[PageSource, PageSource]:
    """Split the pages into training and held-out ones."""
    if len(source) < 2:
        raise UsageError(
            f"{source.data.name}: one page cannot be split into training and validation.", hint="--val SPEC"
        )
    held_out, rest = (source.images[part] for part in split_indices(len(source), settings))
    return PageSource(source.data, rest, source.augment), PageSource(source.data, held_out)


def _count_words(source: PageSource) -> int:
    chosen: NDArray[np.bool_] = np.isin(source.data.image_id, source.images)
    return int((chosen & ~source.data.ignore).sum())
