"""Report a model collapse: after `train.collapse_steps` steps all predictions are empty, or one string."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ocrctl.config.settings import Settings
from ocrctl.models.registry import DEFAULT_ARCH, get_spec
from ocrctl.shell import shell_quote

_CAUSES = {  # by tokenizer, None: a detector
    "ctc": "labels that need more output steps than the model has; labels of other images; a learning rate that is too "
    "high (train.lr={lr:g}) or too low to leave the blank; frozen layers; images that are all alike after resizing",
    "ar": "a decoder that ends at once (BOS to EOS) because it ignores the image: a mask that hides the "
    "encoder, labels of other images, or a learning rate that is too high (train.lr={lr:g})",
    None: "text smaller than a cell of the maps; polygons that are all ignored or do not fit their pages; a learning "
    "rate that is too high (train.lr={lr:g})",
}


class CollapseWatch:
    """Reports a collapse at the first validation that shows it, and its end."""

    def __init__(self, run: Path, settings: Settings, report: Callable[[str], None]) -> None:
        self._run, self._train, self._report = run, settings.train, report
        self._arch = settings.arch or DEFAULT_ARCH
        self._collapsed = False

    def check(self, step: int, constant: str | None) -> None:
        """Report what the validation at `step` shows. `constant`: a clause on predictions that are all empty or one
        string, None for others."""
        limit = self._train.collapse_steps
        if not limit or step < limit or (constant is not None) == self._collapsed:
            return
        self._collapsed = constant is not None
        if constant is None:
            self._report(f"step {step}: the predictions differ again")
            return
        causes = _CAUSES[get_spec(self._arch).tokenizer]
        run = shell_quote(self._run)
        self._report(
            f"warning: the model has collapsed: {constant} after {step:,} steps (train.collapse_steps={limit})\n"
            f"likely causes: {causes.format(lr=self._train.lr)}\n"
            f"find the cause: ocrctl diagnose model {run}"
        )
