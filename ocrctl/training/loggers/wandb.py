"""Log to Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.settings import Settings
from ocrctl.errors import MissingRequirement
from ocrctl.shell import shell_quote
from ocrctl.training.loggers.base import PREVIEWS, PROJECT, session_id
from ocrctl.training.metrics_file import Row

ID_FILE = "wandb-id.txt"  # in the run folder: the wandb run that a resumed run adds to


class WandbLogger:
    """A wandb session: settings as its config, figures, previews. A run has one of its own, which it keeps on resume.

    WANDB_PROJECT, WANDB_NAME, WANDB_RUN_ID, WANDB_RESUME and WANDB_DIR win over what is chosen here; wandb itself reads
    the others (WANDB_MODE, WANDB_ENTITY ...).
    """

    def __init__(self, settings: Settings, run: Path, report: Callable[[str], None], *, resumed: bool) -> None:
        import wandb

        self._wandb, self._report = wandb, report
        chosen: dict[str, Any] = {"project": PROJECT, "name": run.name, "dir": str(run), "resume": "allow"}
        if "WANDB_RUN_ID" not in os.environ:
            chosen["id"] = session_id(run / ID_FILE, resumed)
        named = {name for name in chosen if os.environ.get(f"WANDB_{name.upper()}")}
        chosen = {name: value for name, value in chosen.items() if name not in named}
        try:
            self._session: Any = wandb.init(config=settings.tree(), allow_val_change=True, **chosen)
        except wandb.Error as error:
            raise MissingRequirement(
                f"wandb cannot start: {str(error).strip().splitlines()[0]}",
                hint="wandb login, or WANDB_MODE=offline, or --set log.logger=none",
            ) from error

    @property
    def where(self) -> str:
        """Return the address of the run; offline its folder and the command that uploads it."""
        if address := getattr(self._session, "url", None):
            return str(address)
        folder = getattr(self._session, "dir", None)
        return f"offline; upload with: wandb sync {shell_quote(Path(folder).parent)}" if folder else "offline"

    def row(self, row: Row) -> None:
        self._log({key: value for key, value in row.items() if key != "step"}, int(row["step"]))

    def image(self, step: int, image: NDArray[np.uint8]) -> None:
        self._log({PREVIEWS: self._wandb.Image(image)}, step)

    def finish(self, exit_code: int) -> None:
        if self._session is not None:
            self._session.finish(exit_code=exit_code)

    def _log(self, values: dict[str, Any], step: int) -> None:
        """A session that breaks is reported once and ends no training: metrics.csv has the figures."""
        if self._session is None:
            return
        try:
            self._session.log(values, step=step)
        except (self._wandb.Error, OSError) as error:
            self._session = None
            self._report(f"wandb takes no more figures from step {step} on ({error}); metrics.csv goes on")
