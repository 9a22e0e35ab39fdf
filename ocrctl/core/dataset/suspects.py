"""`ocrctl dataset suspects`: the labels that a trained model disagrees with most, for a person to look at."""

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
from ocrctl.inference.engine import Engine
from ocrctl.metrics.reads_nothing import reads_nothing
from ocrctl.shell import shell_quote
from ocrctl.text.normalize import normalize_label

FOREIGN = 0.05  # share of labels read as they are below which the model fits other data
ENOUGH = 20  # labels from which on that share is told


@dataclass(frozen=True)
class SuspectsOptions:
    """What `dataset suspects` is asked for; `jobs` and `threads` as in PredictOptions."""

    spec: str
    model: str
    limit: int = 50
    device: str = "auto"
    batch_size: int = 64
    jobs: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Suspect:
    """A label and what the model reads instead. `score`, 0 to 1: the share of characters that differ, times the
    model's confidence."""

    score: float
    label: str
    reading: str
    confidence: float
    where: str


@dataclass(frozen=True)
class SuspectsReport:
    """The most suspect labels first. `disagree` counts all whose reading differs, `unjudged` the labels that hold no
    character the model can write, `doubt` says why the model, not the labels, may be wrong ("" when nothing)."""

    spec: str
    model: str
    read: int
    disagree: int
    unjudged: int
    unreadable: list[str] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    doubt: str = ""


def suspects(
    options: SuspectsOptions, progress: Callable[[int, int], None] = lambda done, total: None
) -> SuspectsReport:
    """Read every word of the set and rank the labels by how surely the model reads something else.

    A model that was trained on these very labels has learnt some of their faults: one trained on other data, or on
    another part of them, finds more. Raises InputError when the data or the model cannot be read, the data hold no
    label, or the model reads nothing (all predictions empty, or all one text).
    """
    words = _Words(open_annotations(options.spec))
    if not words.labels:
        raise InputError(f"{options.spec}: holds no label that could be compared.")
    engine = Engine.load(options.model, options.device, options.threads)
    places, (readings,), unreadable = read_samples([engine], [words], options.batch_size, options.jobs, progress)
    plain = _Plain(engine.card.charset)
    truths = [plain(words.labels[index]) for _, index in places]
    if nothing := reads_nothing([plain(reading.text) for reading in readings], truths):
        raise InputError(
            f"{engine.path} reads nothing: {nothing}, which says nothing about the labels of {options.spec}.",
            hint="use a model trained for such images; this one is scored by: "
            f"ocrctl eval {shell_quote(options.model)} -d {shell_quote(options.spec)}",
        )
    found: list[Suspect] = []
    unjudged = 0
    for (_, index), label, reading in zip(places, truths, readings, strict=True):
        if not label:
            unjudged += 1
            continue
        distance = Levenshtein.normalized_distance(label, plain(reading.text))
        if distance:
            score = distance * float(reading.confidence)
            found.append(Suspect(score, words.labels[index], reading.text, reading.confidence, words.where(index)))
    found.sort(key=lambda suspect: -suspect.score)
    compared = len(places) - unjudged
    right = compared - len(found)
    foreign = compared >= ENOUGH and right < FOREIGN * compared
    return SuspectsReport(
        spec=options.spec,
        model=str(engine.path),
        read=len(places),
        disagree=len(found),
        unjudged=unjudged,
        unreadable=[problem.error for problem in unreadable],
        suspects=found[: options.limit],
        doubt=f"only {right:,} of {compared:,} labels are read as they are: the model fits other data than these, and "
        "what is listed says more about the model"
        if foreign
        else "",
    )


class _Plain:
    """Texts as a model with `charset` could have written them: in lower case where it writes no capitals, without the
    characters that it lacks, so that it is not asked about what it cannot know."""

    def __init__(self, charset: str) -> None:
        self._known = set(charset)
        self._lower = not any(char != char.lower() for char in charset)

    def __call__(self, text: str) -> str:
        text = text.lower() if self._lower else text
        return "".join(char for char in text if char in self._known)


class _Words:
    """The labelled words of a set, cut out of its pages where it holds pages; EvalSamples for `read_samples`."""

    def __init__(self, data: Annotations) -> None:
        self.name = self.spec = data.name
        self._data = data
        self._picks = [i for i, text in enumerate(data.texts) if text.strip() and not data.ignore[i]]
        self.labels: Sequence[str] = [normalize_label(data.texts[i]) for i in self._picks]
        self._last = threading.local()  # the page of the word before: words of a page come one after the other

    def image(self, index: int) -> NDArray[np.uint8]:
        """RGB uint8 (h, w, 3). Raises InputError naming the word when it cannot be read or has no area."""
        instance = self._picks[index]
        picture = int(self._data.image_id[instance])
        if self._data.words is not None:
            return decode(self._data.image_bytes(picture), self.where(index))
        if getattr(self._last, "picture", None) != picture:
            self._last.pixels = decode(self._data.image_bytes(picture), self._data.image_where(picture))
            self._last.picture = picture
        points = self._data.polygon(instance)
        word = crop(self._last.pixels, points, len(self.labels[index])) if len(points) >= 3 else None
        if word is None:
            raise InputError(f"{self.where(index)}: the polygon has no area.")
        return word

    def where(self, index: int) -> str:
        """The place of a word, for people."""
        return self._data.where(self._picks[index])
