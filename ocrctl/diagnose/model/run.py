"""Run all checks of `diagnose model` on one subject, cheapest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ocrctl.diagnose.checks import Check, Diagnosis, count, fail, first_line, skipped, with_examined
from ocrctl.diagnose.model.export import check_export
from ocrctl.diagnose.model.finite import PRECISIONS, check_finite
from ocrctl.diagnose.model.gradients import Reached, check_gradients, reach
from ocrctl.diagnose.model.invariance import check_invariance
from ocrctl.diagnose.model.learning import check_learning
from ocrctl.diagnose.model.masks import check_masks
from ocrctl.diagnose.model.subject import Subject
from ocrctl.errors import OcrctlError, PluginError
from ocrctl.models.ocr_model import OCRModel
from ocrctl.shortages import find_shortage

LOSSES = tuple(f"loss {precision}" for precision in PRECISIONS)
EXAMINED = {
    "data": "the samples that training would use, or refuse",
    "grid": "the feature grid of the architecture against the labels or words of the data",
    "masks": "dtype and values of every mask that attention receives in one training step",
    "in-place": "modules and operations of one training step that change an activation in place",
    "padding": "outputs while the content of padding changes",
    "causality": "outputs of the decoder while a later character changes",
    "batch": "outputs of one image alone and in a batch",
    "gradient": "the gradient of every parameter in three training steps",
    "offsets": "gradient and size of predicted sampling offsets in three training steps",
    **{name: f"loss and gradients of one batch in {name.removeprefix('loss ')}" for name in LOSSES},
    "saturation": "loss and gradients on black and white images, and with the decoder's states scaled up",
    "batches": "loss and gradients of the first batches of the data",
    "overfit": "training on one batch, at a constant learning rate, until it is read without a mistake",
    "train/eval": "the overfitted batch in training and in evaluation mode; when generating and under teacher forcing",
    "export": "outputs of the exported graph and of PyTorch, after the training above",
}


def diagnose_model(
    subject: Subject,
    first: Sequence[Check],
    steps: int,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Diagnosis:
    """Check a model. `first`: rows about its data. `steps`: optimiser steps in which one batch must be overfitted;
    `on_step` gets (steps done, steps at most)."""
    found = Reached()
    model: OCRModel | None = None

    def gradients() -> list[Check]:
        nonlocal found
        found = reach(subject)
        return check_gradients(subject, found)

    def learning() -> list[Check]:
        nonlocal model
        checks, model = check_learning(subject, found, steps, on_step)
        return checks

    def exported() -> list[Check]:
        return [check_export(subject, model or subject.build())]

    groups: list[tuple[tuple[str, ...], Callable[[], list[Check]]]] = [
        (("masks", "in-place"), lambda: check_masks(subject)),
        (("padding", "causality", "batch"), lambda: check_invariance(subject)),
        (("gradient", "offsets"), gradients),
        ((*LOSSES, "saturation", "batches"), lambda: check_finite(subject)),
        (("overfit", "train/eval"), learning),
        (("export",), exported),
    ]
    rows = [*first, *subject.grid]
    for names, check in groups:
        rows += _guarded(names, check)
    checks = with_examined(rows, EXAMINED)
    arch = subject.card.arch
    failed = [row.name for row in checks if row.status == "fail"]
    summary = f"{arch}: {'NOT ready to train' if failed else 'ready to train'} ({count(checks)})."
    return Diagnosis(f"model {arch}", checks, summary)


def _guarded(names: tuple[str, ...], check: Callable[[], list[Check]]) -> list[Check]:
    """Return the rows of a group of checks; where the model itself fails, a failed row and skipped ones."""
    try:
        return check()
    except Exception as error:
        if find_shortage(error) or (isinstance(error, OcrctlError) and not isinstance(error, PluginError)):
            raise
        detail = f"the model fails: {type(error.__cause__ or error).__name__}: {first_line(error)}"
        row = fail(
            names[0], detail, "OCRCTL_DEBUG=1 ocrctl train --fast-dev-run shows the line", "it cannot be trained"
        )
        return [row, *(skipped(name, f"not reached: {names[0]} failed") for name in names[1:])]
