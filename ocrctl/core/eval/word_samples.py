"""Open the samples of an evaluation: any SPEC of word images, or synth:words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard
from ocrctl.config.output_steps import longest_label
from ocrctl.core.settings import load_settings
from ocrctl.core.streams import synth_config
from ocrctl.data.formats.spec import Spec, expect_stream, open_source, parse_spec
from ocrctl.data.images.decode import decode
from ocrctl.data.lmdb.word_source import WordSource
from ocrctl.data.synth import SynthWords
from ocrctl.errors import UsageError
from ocrctl.models.card import card_spec
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label

SYNTH_SAMPLES = 2000  # of the endless stream without --limit
# Training selects the best checkpoint on the validation stream with its own seed; another seed keeps the evaluation
# independent of that selection.
SYNTH_SEED_OFFSET = 1_000_003


class EvalSamples(Protocol):
    """Numbered images with ground truth; safe to read from several threads."""

    name: str
    spec: str
    labels: Sequence[str]  # NFC

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the image, RGB uint8 (h, w, 3). Raises InputError naming the sample when it cannot be decoded."""

    def where(self, index: int) -> str:
        """Return the location of a sample for messages."""


class StoredSamples:
    """The first `limit` samples of a finite source (all when None)."""

    def __init__(self, spec: Spec, name: str, limit: int | None) -> None:
        self.name, self.spec = name, spec.raw
        self._source: WordSource = open_source(spec)
        self.labels: Sequence[str] = self._source.labels[:limit]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode sample `index`."""
        return decode(self._source.image_bytes(index), self.where(index))

    def where(self, index: int) -> str:
        """Return `dir/gt.txt:17 (word_17.png)`."""
        return self._source.where(index)


class SynthSamples:
    """The first `limit` samples of a synthetic stream's validation split."""

    def __init__(self, stream: SynthWords, spec: Spec, name: str, limit: int | None) -> None:
        self.name, self.spec = name, spec.raw
        self._stream = stream
        self.labels: Sequence[str] = [normalize_label(stream.label(i)) for i in range(limit or SYNTH_SAMPLES)]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Render sample `index`."""
        return self._stream.sample(index)[0]

    def where(self, index: int) -> str:
        """Return `synth:words 17`."""
        return f"{self.spec} {index}"


def open_samples(
    specs: Sequence[str], cards: Sequence[ModelCard], limit: int | None, seed: int, sets: Sequence[str]
) -> list[EvalSamples]:
    """Open every SPEC, the first `limit` samples of each; names are made unique.

    Synthetic words are restricted to characters and lengths that every model of `cards` supports, so that all
    models are scored on the same samples; `sets` are `synth.*=value` settings.
    Raises UsageError or InputError, before any model has run, for a SPEC that cannot be read.
    """
    parsed = [parse_spec(raw) for raw in specs]
    if sets and not any(spec.format == "synth" for spec in parsed):
        raise UsageError("--set changes synth:words, which is not among the data.")
    names = unique_names(parsed)
    opened: list[EvalSamples] = []
    for spec, name in zip(parsed, names, strict=True):
        if spec.format == "synth":
            expect_stream(spec, "words")
            opened.append(SynthSamples(_stream(cards, seed, sets), spec, name, limit))
        else:
            opened.append(StoredSamples(spec, name, limit))
    return opened


def _stream(cards: Sequence[ModelCard], seed: int, sets: Sequence[str]) -> SynthWords:
    foreign = [text for text in sets if not text.startswith("synth.")]
    if foreign:
        raise UsageError(f"--set {foreign[0]}: eval supports only the settings synth.*.")
    shared = [char for char in cards[0].charset if all(char in card.charset for card in cards)]
    if not shared:
        raise UsageError(
            "the models share no character, so there are no common synthetic words; evaluate them separately."
        )
    shortest = min((card_spec(card) for card in cards), key=longest_label)
    config = synth_config(load_settings(sets=sets), shortest, Charset("".join(shared)), "val")
    return SynthWords(config.with_(seed=seed + SYNTH_SEED_OFFSET))


def unique_names(specs: Sequence[Spec]) -> list[str]:
    """Return the last part of each path, or the whole SPEC if that is not unique."""
    short = [spec.path.resolve().name if spec.path is not None else spec.raw for spec in specs]
    # Label files have the same name in every folder; use the folder name.
    short = [
        spec.path.resolve().parent.name if spec.path is not None and spec.path.is_file() else name
        for spec, name in zip(specs, short, strict=True)
    ]
    names = [name if short.count(name) == 1 else spec.raw for spec, name in zip(specs, short, strict=True)]
    if len(set(names)) != len(names):
        raise UsageError(f"the same data is given twice: {', '.join(sorted(names))}.")
    return names
