"""Training data and result of one run: the protocol of recognition and detection, and their shared steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.errors import UsageError, counted

if TYPE_CHECKING:
    from ocrctl.models.ocr_model import OCRModel
    from ocrctl.training.validation import Validation

FEW_SAMPLES = 20  # of a validation: at 10 of 20 right, the accuracy lies between 30 and 70 % (Wilson, 95 %)
Report = Callable[[str], None]
OnStep = Callable[[int, int | None], None]  # (optimiser steps done, steps of the run or None)


class Samples(Protocol):
    """An endless stream of training samples; sample n is a pure function of (seed, n)."""

    def __getitems__(self, numbers: Sequence[int]) -> Any:
        """Return the samples `numbers` as one batch, or the OcrctlError that one of them raised."""

    def exclude(self, samples: frozenset[tuple[int, int]]) -> Callable[[int], bool] | None:
        """Exclude samples (source, index). Returns a filter for the numbers of the stream; None where the stream
        replaces them itself."""

    def locate(self, n: int) -> tuple[tuple[int, int], str]:
        """Return (source, index within it) of sample `n`, and its location for messages."""


@dataclass(frozen=True)
class BatchFit:
    """How well a model fits one batch: whether it is overfitted, the score for messages, the first mistake, what was
    read in each word image, or "N boxes" on each page ("" for nothing), and the share of the words of pages that boxes
    match."""

    complete: bool
    score: str
    mistake: str
    found: tuple[str, ...] = ()
    boxed: float = 0.0


@dataclass(frozen=True)
class OverfitBatch:
    """The batch that `--preflight` overfits: its sample numbers, and a function that scores a model on it."""

    numbers: list[int]
    score: Callable[[OCRModel, Any], BatchFit]


@dataclass(frozen=True)
class TrainResult:
    """Result of a training: folder and figures; accuracies in 0..1 on the validation samples."""

    run: Path
    arch: str
    parameters: int
    steps: int
    seconds: float
    best_accuracy: float
    best_step: int
    last: dict[str, float]
    stopped_by_signal: int | None = None
    eval_spec: str | None = None  # unseen data for `eval`: --val or the stream; None when data was held out
    unread: str = ""  # reason not to evaluate or export the model, from its validations; "" without one


class TrainingTask(Protocol):
    """Provide everything that a training needs of its data, whatever the task."""

    @property
    def spec(self) -> ModelSpec:
        """Return the architecture."""

    @property
    def card(self) -> ModelCard:
        """Return the card of the model to train."""

    @property
    def samples(self) -> Samples:
        """Return the training samples."""

    @property
    def synth_spec(self) -> str:
        """Return the SPEC of the synthetic stream of the task."""

    @property
    def held_out(self) -> list[str]:
        """Return one line for each sample held out for validation."""

    @property
    def epoch_size(self) -> int | None:
        """Return the number of samples of one epoch; None for an endless stream."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """Return size and label checksum of each finite source, by name; a resumed run compares them."""

    def validation(self, settings: Settings) -> Validation:
        """Return the validation of this task."""

    def check_labels(self, report: Report) -> str | None:
        """Check that labels fit the output steps of the model. Returns the problem, None if there is none."""

    def overfit_batch(self) -> OverfitBatch:
        """Return the batch that a working model can overfit."""


def training_specs(settings: Settings, synth_spec: str) -> tuple[list[str], list[str]]:
    """Return the SPECs to train on, `synth_spec` by default, and the header lines about them."""
    if settings.data.train:
        return settings.data.train, []
    return [synth_spec], [f"no data given (-d): training on {synth_spec}"]


def split_indices(count: int, settings: Settings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split `count` samples into held-out and training indices, both sorted; at least one each, random by the seed."""
    held_out = min(count - 1, max(1, round(count * settings.data.val_fraction)))
    order = np.random.default_rng((settings.seed, 4)).permutation(count)
    return np.sort(order[:held_out]), np.sort(order[held_out:])


def validation_subset(count: int, settings: Settings) -> list[int]:
    """Return the indices of at most data.max_val_samples of `count` samples; the same ones for the same seed."""
    limit = settings.data.max_val_samples
    if count <= limit:
        return list(range(count))
    return np.sort(np.random.default_rng((settings.seed, 5)).permutation(count)[:limit]).tolist()


def describe_validation(settings: Settings, held_out: bool, synth_spec: str) -> str:
    """Return where the validation samples come from, for the header."""
    if settings.data.val:
        return settings.data.val
    if held_out:
        return f"held out by image, {settings.data.val_fraction:.0%}, seed {settings.seed}, listed in val_split.txt"
    return f"{synth_spec}, {synth_spec.partition(':')[2]} that training never draws"


def few_samples_warning(count: int, noun: str, settings: Settings) -> list[str]:
    """Return the header line about a validation of few samples, by which a checkpoint is chosen at random; none for a
    number that data.max_val_samples asks for."""
    if count >= min(FEW_SAMPLES, settings.data.max_val_samples):
        return []
    more = "" if settings.data.val else " or a larger data.val_fraction"
    return [
        f"warning: val: {counted(count, noun)}: fewer than {FEW_SAMPLES} do not tell which checkpoint is best; "
        f"use --val SPEC with more{more}"
    ]


def mix_sources(names: list[str], sizes: list[int | None], settings: Settings) -> tuple[Mixture, list[str]]:
    """Mix the sources by data.weights; `sizes` are their samples, None for endless streams.

    Returns the mixture and the header lines about it. Raises UsageError when the weights do not match the sources.
    """
    weights = settings.data.weights
    if weights is not None and (len(weights) != len(sizes) or min(weights) < 0 or sum(weights) <= 0):
        raise UsageError(f"data.weights: expected {len(sizes)} shares >= 0, one for each -d, found {weights}.")
    mixture = Mixture(sizes, weights, settings.seed)
    if len(sizes) == 1:
        return mixture, []
    shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(names, mixture.shares, strict=True))
    return mixture, [f"mix: {shares}"]
