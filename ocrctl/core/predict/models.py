"""Load the models of one `predict`: a recogniser, a detector, or one of each; without any, the default ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrctl.errors import UsageError
from ocrctl.inference.decoding import Decoding
from ocrctl.inference.engine import TASKS, Engine


@dataclass(frozen=True)
class Models:
    """A detector, a recogniser, or both."""

    detector: Engine | None
    recogniser: Engine | None

    @property
    def first(self) -> Engine:
        """Return the model that takes the images."""
        engine = self.detector or self.recogniser
        assert engine is not None
        return engine

    def of_each(self, attribute: str) -> str:
        """Return `backend`, `device` or `note` of the models, once if they are equal."""
        values = [getattr(engine, attribute) for engine in (self.detector, self.recogniser) if engine is not None]
        return ", ".join(dict.fromkeys(filter(None, values)))


def load_models(
    models: Sequence[str],
    device: str,
    threads: int | None,
    decoding: str | Decoding | None,
    explain: bool = False,
) -> Models:
    """Load one model, or a detector and a recogniser in either order; `decoding` and `explain` (Engine.load) are the
    recogniser's. Without `models`, the default detector and recogniser.

    Raises UsageError for more models or two of one task, and as Engine.load does.
    """
    if not models:
        from ocrctl.inference.default_models import PREDICT, default_model

        models = [default_model(name).model for name in PREDICT]
    if len(models) > 2:
        raise UsageError(
            f"-m was given {len(models)} times; predict requires one model, or one detector and one recogniser.",
            hint="-m DETECTOR -m RECOGNISER reads pages",
        )
    if len(models) == 1:
        engine = Engine.load(models[0], device, threads, decoding, explain=explain)
        return Models(engine, None) if engine.detects else Models(None, engine)
    first, second = (Engine.load(model, device, threads) for model in models)
    if first.detects == second.detects:
        wanted = "recogniser" if first.detects else "detector"
        raise UsageError(
            f"{first.path} and {second.path}: each {TASKS[first.card.task]}; two models are one of each task.",
            hint=f"combine one of them with a {wanted}, or use it alone",
        )
    if second.detects:
        models, (first, second) = models[::-1], (second, first)
    if decoding is not None or explain:  # only now it is known which model is the recogniser
        second = Engine.load(models[1], device, threads, decoding, explain=explain)
    return Models(first, second)
