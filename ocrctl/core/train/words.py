"""From SPECs to checked training and validation samples, a charset and a model card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.core.streams import choose_charset, synth_config
from ocrctl.core.train.refusal import Rules, Wanted, refuse
from ocrctl.data.annotations.builder import from_words
from ocrctl.data.datasets.check_labels import LabelReport, check_labels, describe
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.data.datasets.recognition import FiniteWords, TrainingWords
from ocrctl.data.formats.spec import Spec, WordSource, expect_stream, open_source, parse_spec
from ocrctl.data.images.decode import resize_word
from ocrctl.data.synth import SynthWords
from ocrctl.data.validate.image_scan import multipage_note
from ocrctl.data.validate.run import header_errors
from ocrctl.errors import UsageError
from ocrctl.models.card import card_tokenizer
from ocrctl.models.registry import DEFAULT_ARCH, get_spec
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import Tokenizer

SYNTH = "synth:words"


@dataclass
class TrainingData:
    """All that training needs of the data. `val_images` is drawn on first use; `held_out` lists the split, one line
    each."""

    spec: ModelSpec
    card: ModelCard
    tokenizer: Tokenizer
    words: TrainingWords
    val: list[FiniteWords | SynthWords]
    val_picks: list[tuple[int, int]]  # (part, index within it)
    header: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    epoch_size: int | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)  # of each finite source: what a resumed run compares

    def validation_arrays(self) -> tuple[NDArray[np.uint8], list[str]]:
        """Every validation picture, resized, uint8 (N, H, W, C), and its NFC label. Raises InputError on a bad
        image."""
        images, labels = [], []
        for number, index in self.val_picks:
            part = self.val[number]
            image, label = part.sample(index, None) if isinstance(part, FiniteWords) else part.sample(index)
            images.append(resize_word(image, self.spec.input_height, self.spec.input_width, self.spec.channels))
            labels.append(normalize_label(label))
        return np.stack(images), labels


def prepare_data(settings: Settings, report: Callable[[str], None]) -> TrainingData:
    """Open, check and split the data. Raises UsageError or InputError before anything is trained on bad labels."""
    spec = get_spec(settings.arch or DEFAULT_ARCH, settings.model.width)
    names = settings.data.train or [SYNTH]
    header = [] if settings.data.train else [f"no data given (-d): training on {SYNTH}"]
    specs = [parse_spec(name) for name in names]
    for parsed in specs:
        expect_stream(parsed, "words")
    charset = choose_charset(settings, spec)
    if charset.note:
        header.append(charset.note)

    checked = _check_sources(names, specs, charset, spec, settings, header)
    parts: list[FiniteWords | SynthWords] = []
    val: list[FiniteWords | SynthWords] = []
    held_out: list[str] = []
    for name, parsed in zip(names, specs, strict=True):
        if parsed.format == "synth":
            parts.append(SynthWords(synth_config(settings, spec, charset, "train")))
            header.append(f"train: {name}, endless")
            continue
        kept = _kept(*checked[name], settings, header)
        if settings.data.val is None:
            kept, part, lines = _hold_out(kept, settings)
            val.append(part)
            held_out += lines
        parts.append(kept)
        header.append(f"train: {name}, {len(kept)} samples")
    if settings.data.val is not None:
        parsed = parse_spec(settings.data.val)
        expect_stream(parsed, "words")
        if parsed.format == "synth":
            val.append(SynthWords(synth_config(settings, spec, charset, "val")))
        else:
            val.append(_kept(*checked[settings.data.val], settings, header, augment=False))
    elif not val:
        val.append(SynthWords(synth_config(settings, spec, charset, "val")))
    picks = _validation_picks(val, settings)
    how = settings.data.val or (
        f"held out by image, {settings.data.val_fraction:.0%}, seed {settings.seed}, listed in val_split.txt"
        if held_out
        else f"{SYNTH}, words that training never draws"
    )
    header.append(f"val: {len(picks)} samples ({how})")

    sizes = [len(part) if isinstance(part, FiniteWords) else None for part in parts]
    weights = settings.data.weights
    if weights is not None and (len(weights) != len(parts) or min(weights) < 0 or sum(weights) <= 0):
        raise UsageError(f"data.weights: expected {len(parts)} shares >= 0, one for each -d, found {weights}.")
    mixture = Mixture(sizes, weights, settings.seed)
    if len(parts) > 1:
        header.append(
            "mix: " + ", ".join(f"{name} {share:.0%}" for name, share in zip(names, mixture.shares, strict=True))
        )
    how_to_read = {"decoding": settings.model.decoding, "refine": settings.model.refine}
    reading = how_to_read if spec.generates else {}
    card = ModelCard(
        arch=spec.name, task=spec.task, charset=charset.chars, height=spec.input_height, width=spec.input_width,
        channels=spec.channels, max_label_length=spec.max_label_length,
        model={"dropout": settings.model.dropout, **reading}, version=_version(),
    )  # fmt: skip
    tokenizer = card_tokenizer(card)
    words = TrainingWords(parts, mixture, spec, tokenizer, settings.seed)
    for line in header:
        report(line)
    return TrainingData(
        spec, card, tokenizer, words, val, picks, header, held_out, mixture.epoch_size(), _fingerprints([*parts, *val])
    )


def _check_sources(
    names: list[str], specs: list[Spec], charset: Charset, spec: ModelSpec, settings: Settings, header: list[str]
) -> dict[str, tuple[WordSource, LabelReport]]:
    """Every finite source by its SPEC, opened, with what its labels hold. Raises TrainingDataError with all that keeps
    any of them from being trained on; `header` is told of pages that are not read."""
    asked = dict(zip(names, specs, strict=True))
    if settings.data.val is not None:
        parsed = parse_spec(settings.data.val)
        expect_stream(parsed, "words")
        asked.setdefault(settings.data.val, parsed)
    found: dict[str, tuple[WordSource, LabelReport]] = {}
    wanted: list[Wanted] = []
    for name, parsed in asked.items():
        if parsed.format == "synth":
            continue
        source = open_source(parsed)
        report = check_labels(source, charset, spec)
        words = from_words(source)
        files, scan = header_errors(words)
        header += multipage_note(words, scan)
        found[name] = (source, report)
        wanted.append(Wanted(name, source, report, name in names and settings.data.val is None, files))
    given = settings.data.charset is not None
    skips = settings.data.unknown_chars == "skip", settings.data.bad_labels == "skip"
    refuse(wanted, Rules(spec, charset, given, *skips))
    return found


def _kept(
    source: WordSource, report: LabelReport, settings: Settings, header: list[str], *, augment: bool = True
) -> FiniteWords:
    """The samples that the model can learn; the header says what was left out."""
    if report.problems:
        header.append(f"left out: {describe(report)}")
    return FiniteWords(source, report.kept, settings.data.augment if augment else 0.0)


def _hold_out(words: FiniteWords, settings: Settings) -> tuple[FiniteWords, FiniteWords, list[str]]:
    """Part `words` into training and held-out samples, seeded; the third item names each held-out sample."""
    count = min(len(words) - 1, max(1, round(len(words) * settings.data.val_fraction)))
    order = np.random.default_rng((settings.seed, 4)).permutation(len(words))
    held, rest = np.sort(words.indices[order[:count]]), np.sort(words.indices[order[count:]])
    lines = [words.source.where(int(index)) for index in held]
    return FiniteWords(words.source, rest, words.augment), FiniteWords(words.source, held), lines


def _validation_picks(val: list[FiniteWords | SynthWords], settings: Settings) -> list[tuple[int, int]]:
    """At most data.max_val_samples, the same ones each time: all, or a seeded subset."""
    limit = settings.data.max_val_samples
    every = [
        (number, index)
        for number, part in enumerate(val)
        for index in range(len(part) if isinstance(part, FiniteWords) else limit)
    ]
    if len(every) <= limit:
        return every
    chosen = np.sort(np.random.default_rng((settings.seed, 5)).permutation(len(every))[:limit])
    return [every[place] for place in chosen]


def _fingerprints(parts: Sequence[FiniteWords | SynthWords]) -> dict[str, str]:
    """Number of labels and their checksum, by source name."""
    sources = {part.source.name: part.source for part in parts if isinstance(part, FiniteWords)}
    return {
        name: f"{len(source)} samples, labels {crc32(chr(10).join(source.labels).encode()):08x}"
        for name, source in sources.items()
    }


def _version() -> str:
    from ocrctl import __version__

    return __version__
