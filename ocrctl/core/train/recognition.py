"""Training data of a recogniser: open, check and split the word images of the SPECs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.feature_grid import check_script
from ocrctl.config.model_card import ModelCard, recognition_card
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import output_steps
from ocrctl.config.settings import Settings
from ocrctl.core.streams import choose_charset, synth_config
from ocrctl.core.train.data_errors import CheckedSource, LabelPolicy, raise_data_errors
from ocrctl.core.train.orient import orient_tall
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
from ocrctl.data.annotations.builder import from_words
from ocrctl.data.augment.words import MAX_WIDTH, TALLEST
from ocrctl.data.datasets.check_labels import LabelReport, check_labels, describe
from ocrctl.data.datasets.recognition import FiniteWords, TrainingWords, min_label_width, prepared_orientations
from ocrctl.data.formats.spec import Spec, WordSource, expect_stream, open_source, parse_spec
from ocrctl.data.synth import SynthWords
from ocrctl.data.validate.image_scan import multipage_note
from ocrctl.data.validate.run import header_errors
from ocrctl.errors import UsageError, counted
from ocrctl.inference.locate import locate
from ocrctl.models.card import card_tokenizer
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from ocrctl.models.ocr_model import OCRModel
    from ocrctl.training.validation import Validation

SYNTH_WORDS = "synth:words"
PREFLIGHT_WORDS = 8  # words in the batch that --preflight overfits
PREFLIGHT_LABELS = 500  # labels that --preflight compares with the output steps


@dataclass
class RecognitionTask:
    """Word images to train and validate a recogniser on; see TrainingTask."""

    spec: ModelSpec
    card: ModelCard
    tokenizer: Tokenizer
    samples: TrainingWords
    val: list[FiniteWords | SynthWords]
    val_picks: list[tuple[int, int]]  # (part of `val`, index within it)
    held_out: list[str] = field(default_factory=list)
    epoch_size: int | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)
    synth_spec: str = SYNTH_WORDS

    def validation_arrays(self) -> tuple[list[list[NDArray[np.uint8]]], list[str]]:
        """Return every validation image, resized, uint8 (H, W, C), in each orientation that it is read in, and its NFC
        label. Raises InputError for an unreadable image."""
        images, labels = [], []
        for number, index in self.val_picks:
            part = self.val[number]
            image, label = part.sample(index, None) if isinstance(part, FiniteWords) else part.sample(index)
            images.append(prepared_orientations(image, self.spec))
            labels.append(normalize_label(label))
        return images, labels

    def validation(self, settings: Settings) -> Validation:
        """Implement TrainingTask."""
        from ocrctl.training.validation import WordValidation

        return WordValidation(self.validation_arrays, self.card, self.tokenizer, settings.train.batch_size)

    def check_labels(self, report: Report) -> str | None:
        """Implement TrainingTask."""
        steps = output_steps(self.spec)
        labels = [self.samples.label(n) for n in range(PREFLIGHT_LABELS)]
        needed = [self.tokenizer.required_steps(label) for label in labels]
        over = sum(n > steps for n in needed)
        report(f"preflight: {counted(steps, 'output step')}; the longest of {len(labels)} labels needs {max(needed)}")
        if not over:
            return None
        return f"{over} of {len(labels)} labels need more than the {counted(steps, 'output step')} of {self.spec.name}"

    def overfit_batch(self) -> OverfitBatch:
        """Implement TrainingTask."""
        from ocrctl.models.ocr_model import best_classes

        texts = [self.samples.label(n) for n in range(PREFLIGHT_WORDS)]

        def score(model: OCRModel, batch: dict[str, Any]) -> BatchFit:
            ids, probabilities = best_classes(model(batch["images"], **_widths(batch))["logits"])
            read = [text for text, _ in self.tokenizer.decode(ids.cpu().numpy(), probabilities.cpu().numpy())]
            wrong = [f"{truth!r} is read as {text!r}" for truth, text in zip(texts, read, strict=True) if truth != text]
            return BatchFit(
                not wrong, f"{len(texts) - len(wrong)} of {len(texts)} words", (wrong or [""])[0], tuple(read)
            )

        return OverfitBatch(list(range(PREFLIGHT_WORDS)), score)


def _widths(batch: dict[str, Any]) -> dict[str, Any]:
    return {"widths": batch["widths"]} if "widths" in batch else {}


def prepare(settings: Settings, spec: ModelSpec, report: Report, last: Path | None = None) -> RecognitionTask:
    """Open, check and split the word images. `last`: the checkpoint of a resumed run. Raises UsageError or InputError
    before anything is trained."""
    spec = _as_begun(spec, settings, last)
    names, header = training_specs(settings, SYNTH_WORDS)
    specs = [parse_spec(name) for name in names]
    for parsed in specs:
        expect_stream(parsed, "words")
    charset = _charset(settings, spec, header, last)
    if charset.note:
        report(f"note: charset {charset.note}")  # at once: the data may be refused for it
    if spec.chosen:
        check_script(spec.name, spec.stride_w, spec.input_height, charset.chars)

    checked = _check_sources(names, specs, charset, spec, settings, header)
    parts: list[FiniteWords | SynthWords] = []
    val: list[FiniteWords | SynthWords] = []
    held_out: list[str] = []
    for name, parsed in zip(names, specs, strict=True):
        if parsed.format == "synth":
            parts.append(SynthWords(synth_config(settings, spec, charset, "train")))
            header.append(f"train: {name}, endless")
            continue
        kept = _kept(*checked[name], spec, settings, header)
        if settings.data.val is None:
            validation, training = split_indices(len(kept), settings)
            part = FiniteWords(kept.source, kept.indices[validation], sizes=kept.sizes)
            val.append(part)
            held_out += [kept.source.where(int(index)) for index in part.indices]
            kept = FiniteWords(kept.source, kept.indices[training], kept.augment, kept.sizes, kept.max_width)
        header += orient_tall(kept, spec, settings)
        parts.append(kept)
        header.append(f"train: {name}, {counted(len(kept), 'sample')}")
    if settings.data.val is not None:
        parsed = parse_spec(settings.data.val)
        expect_stream(parsed, "words")
        if parsed.format == "synth":
            val.append(SynthWords(synth_config(settings, spec, charset, "val")))
        else:
            val.append(_kept(*checked[settings.data.val], spec, settings, header, augment=False))
    elif not val:
        val.append(SynthWords(synth_config(settings, spec, charset, "val")))
    picks = _validation_picks(val, settings)
    origin = describe_validation(settings, bool(held_out), SYNTH_WORDS)
    header.append(f"val: {counted(len(picks), 'sample')} ({origin})")
    header += few_samples_warning(len(picks), "sample", settings)

    sizes = [len(part) if isinstance(part, FiniteWords) else None for part in parts]
    mixture, lines = mix_sources(names, sizes, settings)
    header += lines
    if spec.generates and settings.model.decoding not in spec.decodings:
        raise UsageError(
            f"model.decoding: {spec.name} does not support {settings.model.decoding!r}.",
            hint=f"--set model.decoding={spec.decodings[0]}",
        )
    options = {name: getattr(settings.model, name) for name in spec.options}
    card = recognition_card(spec, charset.chars, model=options, version=_version())
    tokenizer = card_tokenizer(card)
    samples = TrainingWords(parts, mixture, spec, tokenizer, settings.seed, settings.train.whole_batch)
    header += _width_notes(parts, spec)
    for line in header:
        report(line)
    fingerprints = _fingerprints([*parts, *val])
    return RecognitionTask(spec, card, tokenizer, samples, val, picks, held_out, mixture.epoch_size(), fingerprints)


class CheckedWords(NamedTuple):
    """A finite source, what was found in its labels, and width and height of every image, int32 (N, 2)."""

    source: WordSource
    report: LabelReport
    sizes: NDArray[np.int32]


def _as_begun(spec: ModelSpec, settings: Settings, last: Path | None) -> ModelSpec:
    """Return the spec of a run resumed from `last`: without model.tall, tall words are read as when it began, whatever
    the default of the architecture is now."""
    if last is None or settings.model.tall is not None or not (spec.keeps_aspect and spec.kept and spec.kept.tall):
        return spec
    from ocrctl.models.checkpoint import load_initial

    _, card, _ = load_initial(last)
    return spec if card.kept is None else replace(spec, kept=replace(spec.kept, tall=card.kept.tall))


def _charset(settings: Settings, spec: ModelSpec, header: list[str], last: Path | None) -> Charset:
    """Return the charset of the run: that of the settings, else of the --from model (in a resumed run: of its own
    checkpoint), else of the architecture."""
    chosen = choose_charset(settings, spec)
    if settings.model.init is None or settings.data.charset is not None or settings.synth.script != "latin":
        return chosen
    from ocrctl.models.checkpoint import load_initial

    _, card, _ = load_initial(last or locate(settings.model.init).path)
    if card.arch != spec.name or card.charset == chosen.chars:  # weights of another architecture are refused later
        return chosen
    header.append(f"charset: {counted(len(card.charset), 'character')} of the --from model (--charset changes it)")
    return Charset(card.charset)


def _check_sources(
    names: list[str], specs: list[Spec], charset: Charset, spec: ModelSpec, settings: Settings, header: list[str]
) -> dict[str, CheckedWords]:
    """Open every finite source and check its labels and image headers; returns them by SPEC.

    Notes about skipped pages go to `header`. Raises TrainingDataError with all errors of all sources.
    """
    requested = dict(zip(names, specs, strict=True))
    if settings.data.val is not None:
        parsed = parse_spec(settings.data.val)
        expect_stream(parsed, "words")
        requested.setdefault(settings.data.val, parsed)
    found: dict[str, CheckedWords] = {}
    sources: list[CheckedSource] = []
    for name, parsed in requested.items():
        if parsed.format == "synth":
            continue
        source = open_source(parsed)
        report = check_labels(source, charset, spec)
        words = from_words(source)
        files, scan = header_errors(words)
        header += multipage_note(words, scan)
        found[name] = CheckedWords(source, report, scan.sizes)
        sources.append(CheckedSource(name, source, report, name in names and settings.data.val is None, files))
    given = settings.data.charset is not None
    skips = settings.data.unknown_chars == "skip", settings.data.bad_labels == "skip"
    raise_data_errors(sources, LabelPolicy(spec, charset, given, *skips))
    return found


def _kept(
    source: WordSource,
    report: LabelReport,
    sizes: NDArray[np.int32],
    spec: ModelSpec,
    settings: Settings,
    header: list[str],
    *,
    augment: bool = True,
) -> FiniteWords:
    """Return the samples that fit the model; the header counts those left out."""
    if report.problems:
        header.append(f"left out: {describe(report)}")
    # An augmented image may be as wide, at its height, as an input can be.
    longest = spec.input_width * TALLEST // spec.input_height if spec.keeps_aspect else MAX_WIDTH
    return FiniteWords(source, report.kept, settings.data.augment if augment else 0.0, sizes, longest)


def _width_notes(parts: Sequence[FiniteWords | SynthWords], spec: ModelSpec) -> list[str]:
    """Return the header line about the widths of the images, where the aspect ratio is kept."""
    kept = spec.kept
    if kept is None or not spec.keeps_aspect:
        return []
    images = long = narrow = 0
    for part in (part for part in parts if isinstance(part, FiniteWords) and part.sizes is not None):
        assert part.sizes is not None
        sizes = part.sizes[part.indices].astype(np.int64)  # (N, 2): width, height
        if part.turns is not None:
            lying = part.turns[part.indices] % 2 == 1
            sizes[lying] = sizes[lying, ::-1]
        widths = (2 * sizes[:, 0] * spec.input_height + sizes[:, 1]) // (2 * sizes[:, 1])
        images, long = images + len(part), long + int((widths > kept.max_width).sum())
        widths = np.maximum(widths, kept.min_width)
        labels = part.source.labels
        # No label needs more than two steps for each character.
        most = np.array([2 * spec.stride_w * len(labels[int(index)]) for index in part.indices])
        tight = np.flatnonzero(widths < most)
        narrow += sum(int(widths[row]) < min_label_width(spec, labels[int(part.indices[row])]) for row in tight)
    limits = f"widths: {kept.min_width} to {kept.max_width} pixels, aspect ratio kept"
    changed = [f"{long} are compressed to {kept.max_width}"] if long else []
    changed += [f"{narrow} {'' if long else 'are '}widened for their labels"] if narrow else []
    return [f"{limits}; of {images} images {', '.join(changed)}" if changed else limits]


def _validation_picks(val: list[FiniteWords | SynthWords], settings: Settings) -> list[tuple[int, int]]:
    """Return (part, index) of at most data.max_val_samples validation samples, the same ones for the same seed."""
    picks = [
        (number, index)
        for number, part in enumerate(val)
        for index in range(len(part) if isinstance(part, FiniteWords) else settings.data.max_val_samples)
    ]
    return [picks[index] for index in validation_subset(len(picks), settings)]


def _fingerprints(parts: Sequence[FiniteWords | SynthWords]) -> dict[str, str]:
    """Return the number of labels and their checksum, by source name."""
    sources = {part.source.name: part.source for part in parts if isinstance(part, FiniteWords)}
    return {
        name: f"{len(source)} samples, labels {crc32(chr(10).join(source.labels).encode()):08x}"
        for name, source in sources.items()
    }


def _version() -> str:
    from ocrctl import __version__

    return __version__
