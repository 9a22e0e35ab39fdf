"""wandb and tensorboard, imported only when chosen; metrics.csv is written without them."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.settings import Settings
from ocrctl.errors import MissingRequirement
from ocrctl.training.checkpoints import write_atomically
from ocrctl.training.metrics_file import Row

PROJECT = "ocrctl"  # of wandb, unless WANDB_PROJECT names another
ID_FILE = "wandb-id.txt"  # in the run folder: the wandb run that a resumed run adds to
PREVIEWS = "previews"  # what the images of validations are called
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ExtraLogger(Protocol):
    """Where a run's figures go besides metrics.csv."""

    def row(self, row: Row) -> None:
        """Take the figures of one step; `step` is one of them."""

    def image(self, step: int, image: NDArray[np.uint8]) -> None:
        """Take the previews of one validation, RGB uint8 (H, W, 3)."""

    def finish(self, exit_code: int) -> None:
        """End the session; 0: the run ended as it should."""


def check_logger(settings: Settings) -> None:
    """Raise MissingRequirement when the chosen logger is not installed."""
    name = settings.log.logger
    if name != "none" and find_spec(name) is None:
        raise MissingRequirement(
            f"log.logger is {name}, which is not installed.",
            hint=f"pip install 'ocrctl[{name}]', or --set log.logger=none",
        )


def extra_logger(settings: Settings, run: Path, report: Callable[[str], None], *, resumed: bool) -> ExtraLogger | None:
    """Create the chosen logger, after `check_logger`. `resumed`: the run continues from a checkpoint.

    Raises MissingRequirement when a session cannot be opened.
    """
    if settings.log.logger == "wandb":
        return WandbLogger(settings, run, report, resumed=resumed)
    return TensorboardLogger(run) if settings.log.logger == "tensorboard" else None


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
            chosen["id"] = _session_id(run / ID_FILE, resumed)
        named = {name for name in chosen if os.environ.get(f"WANDB_{name.upper()}")}
        chosen = {name: value for name, value in chosen.items() if name not in named}
        try:
            self._session: Any = wandb.init(config=settings.tree(), allow_val_change=True, **chosen)
        except wandb.Error as error:
            raise MissingRequirement(
                f"wandb cannot start: {str(error).strip().splitlines()[0]}",
                hint="wandb login, or WANDB_MODE=offline, or --set log.logger=none",
            ) from error

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


class TensorboardLogger:
    """Event files in the run folder."""

    def __init__(self, run: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(run / "tensorboard"))

    def row(self, row: Row) -> None:
        for key, value in row.items():
            if key != "step":
                self._writer.add_scalar(key, value, int(row["step"]))
        self._writer.flush()

    def image(self, step: int, image: NDArray[np.uint8]) -> None:
        self._writer.add_image(PREVIEWS, image, step, dataformats="HWC")

    def finish(self, exit_code: int) -> None:
        self._writer.close()


def _session_id(path: Path, resumed: bool) -> str:
    """The wandb run of this run folder: of a resumed run as it was, of any other a new one, kept in `path`."""
    if resumed and path.is_file():
        kept = path.read_text(encoding="utf-8", errors="replace").strip()
        if _ID.fullmatch(kept):
            return kept
    new = uuid.uuid4().hex[:12]
    write_atomically(path, lambda file: file.write(f"{new}\n".encode()), "the id of the wandb run")
    return new
