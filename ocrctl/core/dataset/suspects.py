"""`ocrctl dataset suspects`: rank the labels that disagree most with a trained model, for review."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from ocrctl.core.eval.read import read_samples
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.images.decode import decode
from ocrctl.data.images.rectify import crop
from ocrctl.errors import InputError
from ocrctl.inference.decoding import GREEDY
from ocrctl.inference.engine import Engine
from ocrctl.metrics.recognition import describe_constant_predictions
from ocrctl.shell import shell_quote
from ocrctl.text.normalize import normalize_label

MIN_ACCURACY = 0.05  # below it the model probably fits other data
MIN_LABELS = 20  # to compute that accuracy


@dataclass(frozen=True)
class SuspectsOptions:
    """Options of `dataset suspects`; `jobs` and `threads` as in PredictOptions."""

    spec: str
    model: str
    limit: int = 50
    device: str = "auto"
    batch_size: int = 64
    jobs: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Suspect:
    """A label and the prediction of the model. `score`, 0 to 1: normalised edit distance times confidence."""

    score: float
    label: str
    reading: str
    confidence: float
    where: str


@dataclass(frozen=True)
class SuspectsReport:
    """The most suspect labels first. `disagree` counts labels that differ from the prediction, `uncompared` labels
    without any character of the charset, `doubt` is why the model rather than the labels may be wrong ("" without a
    reason)."""

    spec: str
    model: str
    read: int
    disagree: int
    uncompared: int = field(metadata={"formerly": "unjudged"})
    unreadable: list[str] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    doubt: str = ""


def suspects(
    options: SuspectsOptions, progress: Callable[[int, int], None] = lambda done, total: None
) -> SuspectsReport:
    """Recognise every word of the set and rank the labels by edit distance and confidence of the prediction.

    A model trained on the same labels has learned some of their errors; one trained on other data finds more. Raises
    InputError when the data or the model cannot be read, the data contain no label, or the model reads nothing (all
    predictions empty, or all one text).
    """
    words = _Words(open_annotations(options.spec))
    if not words.labels:
        raise InputError(f"{options.spec}: contains no label to compare.")
    # An n-gram model counted on these labels would prefer their errors.
    engine = Engine.load(options.model, options.device, options.threads, GREEDY)
    sample_indices, (readings,), unreadable = read_samples(
        [engine], [words], options.batch_size, options.jobs, progress
    )
    plain = _ToCharset(engine.card.charset)
    truths = [plain(words.labels[index]) for _, index in sample_indices]
    if nothing := describe_constant_predictions([plain(reading.text) for reading in readings], truths):
        raise InputError(
            f"{engine.path} reads nothing: {nothing}, which says nothing about the labels of {options.spec}.",
            hint="use a model trained for such images; this one is scored by: "
            f"ocrctl eval {shell_quote(options.model)} -d {shell_quote(options.spec)}",
        )
    found: list[Suspect] = []
    uncompared = 0
    for (_, index), label, reading in zip(sample_indices, truths, readings, strict=True):
        if not label:
            uncompared += 1
            continue
        distance = Levenshtein.normalized_distance(label, plain(reading.text))
        if distance:
            score = distance * float(reading.confidence)
            found.append(Suspect(score, words.labels[index], reading.text, reading.confidence, words.where(index)))
    found.sort(key=lambda suspect: -suspect.score)
    compared = len(sample_indices) - uncompared
    right = compared - len(found)
    mismatch = compared >= MIN_LABELS and right < MIN_ACCURACY * compared
    return SuspectsReport(
        spec=options.spec,
        model=str(engine.path),
        read=len(sample_indices),
        disagree=len(found),
        uncompared=uncompared,
        unreadable=[problem.error for problem in unreadable],
        suspects=found[: options.limit],
        doubt=f"only {right:,} of {compared:,} labels equal the prediction: the model probably fits other data, so "
        "the list shows errors of the model"
        if mismatch
        else "",
    )


class _ToCharset:
    """Reduce texts to the charset of a model: lower case if it has no capitals, without unknown characters."""

    def __init__(self, charset: str) -> None:
        self._known = set(charset)
        self._lower = not any(char != char.lower() for char in charset)

    def __call__(self, text: str) -> str:
        text = text.lower() if self._lower else text
        return "".join(char for char in text if char in self._known)


class _Words:
    """The labelled words of a set, cropped from its pages if it has pages; EvalSamples for `read_samples`."""

    def __init__(self, data: Annotations) -> None:
        self.name = self.spec = data.name
        self._data = data
        self._picks = [i for i, text in enumerate(data.texts) if text.strip() and not data.ignore[i]]
        self.labels: Sequence[str] = [normalize_label(data.texts[i]) for i in self._picks]
        self._last = threading.local()  # the page of the previous word; words of a page are consecutive

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the image, RGB uint8 (h, w, 3). Raises InputError naming the word when it cannot be read or has no
        area."""
        instance = self._picks[index]
        image = int(self._data.image_id[instance])
        if self._data.words is not None:
            return decode(self._data.image_bytes(image), self.where(index))
        if getattr(self._last, "image", None) != image:
            self._last.pixels = decode(self._data.image_bytes(image), self._data.image_where(image))
            self._last.image = image
        points = self._data.polygon(instance)
        word = crop(self._last.pixels, points, len(self.labels[index])) if len(points) >= 3 else None
        if word is None:
            raise InputError(f"{self.where(index)}: the polygon has no area.")
        return word

    def where(self, index: int) -> str:
        """Return the location of a word for messages."""
        return self._data.where(self._picks[index])
