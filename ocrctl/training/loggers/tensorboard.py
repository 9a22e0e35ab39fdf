"""Log to TensorBoard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.shell import shell_quote
from ocrctl.training.loggers.base import PREVIEWS
from ocrctl.training.metrics_file import Row


class TensorboardLogger:
    """Event files in the run folder."""

    def __init__(self, run: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._folder = run / "tensorboard"
        self._writer = SummaryWriter(str(self._folder))

    @property
    def where(self) -> str:
        """Return the command that shows the figures."""
        return f"tensorboard --logdir {shell_quote(self._folder)}"

    def row(self, row: Row) -> None:
        for key, value in row.items():
            if key != "step":
                self._writer.add_scalar(key, value, int(row["step"]))
        self._writer.flush()

    def image(self, step: int, image: NDArray[np.uint8]) -> None:
        self._writer.add_image(PREVIEWS, image, step, dataformats="HWC")

    def finish(self, exit_code: int) -> None:
        self._writer.close()
