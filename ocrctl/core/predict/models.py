"""The models of one `predict`: a recogniser of words, a detector of pages, or one of each, which read pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrctl.errors import UsageError
from ocrctl.inference.engine import TASKS, Engine


@dataclass(frozen=True)
class Models:
    """At least one of both; what runs them, in words."""

    detector: Engine | None
    recogniser: Engine | None

    @property
    def first(self) -> Engine:
        """The one that takes the pictures."""
        engine = self.detector or self.recogniser
        assert engine is not None
        return engine

    def of_each(self, attribute: str) -> str:
        """`backend`, `device` or `note` of the models, once where they agree."""
        said = [getattr(engine, attribute) for engine in (self.detector, self.recogniser) if engine is not None]
        return ", ".join(dict.fromkeys(filter(None, said)))


def load_models(models: Sequence[str], device: str, threads: int | None, decoding: str | None) -> Models:
    """Load one model, or a detector and a recogniser in either order; `decoding` is the recogniser's.

    Raises UsageError for more models or two of one task, and as Engine.load does.
    """
    if len(models) > 2:
        raise UsageError(
            f"-m was given {len(models)} times; one model, or one detector and one recogniser, is what predict takes.",
            hint="-m DETECTOR -m RECOGNISER reads pages",
        )
    if len(models) == 1:
        engine = Engine.load(models[0], device, threads, decoding)
        return Models(engine, None) if engine.detects else Models(None, engine)
    first, second = (Engine.load(model, device, threads) for model in models)
    if first.detects == second.detects:
        wanted = "recogniser" if first.detects else "detector"
        raise UsageError(
            f"{first.path} and {second.path}: each {TASKS[first.card.task]}; two models are one of each task.",
            hint=f"name one of them with a {wanted}, or alone",
        )
    if second.detects:
        models, (first, second) = models[::-1], (second, first)
    if decoding is not None:  # only now it is known which of them it is of
        second = Engine.load(models[1], device, threads, decoding)
    return Models(first, second)
