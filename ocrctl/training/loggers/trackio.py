"""Log to Trackio: a local database, a self-hosted server or a Hugging Face Space."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.settings import Settings
from ocrctl.errors import MissingRequirement
from ocrctl.shell import shell_quote
from ocrctl.training.loggers.base import PREVIEWS, PROJECT, session_id
from ocrctl.training.metrics_file import Row

ID_FILE = "trackio-id.txt"  # in the run folder: part of the name of its Trackio run, which a resumed run adds to


class TrackioLogger:
    """A run of Trackio: settings as its config, figures, previews. It is kept on resume.

    TRACKIO_PROJECT names the project; Trackio itself reads its other variables (TRACKIO_DIR, TRACKIO_SPACE_ID,
    TRACKIO_SERVER_URL). Its runs are known by their names, so the name has an id.
    """

    def __init__(self, settings: Settings, run: Path, report: Callable[[str], None], *, resumed: bool) -> None:
        """Open the run. Raises MissingRequirement when the server or Space refuses it."""
        import trackio

        self._report, self._image = report, trackio.Image
        self._project = os.environ.get("TRACKIO_PROJECT") or PROJECT
        self._name = f"{run.name}-{session_id(run / ID_FILE, resumed)}"
        try:
            with redirect_stdout(sys.stderr):  # results alone go to stdout
                self._run: Any = trackio.init(
                    project=self._project, name=self._name, config=settings.tree(), resume="allow", embed=False
                )
        except Exception as error:  # of huggingface_hub, of its client or of sqlite
            raise MissingRequirement(
                f"trackio cannot start: {(str(error).strip() or type(error).__name__).splitlines()[0]}",
                hint="unset TRACKIO_SPACE_ID and TRACKIO_SERVER_URL to log locally, or --set log.logger=none",
            ) from error

    @property
    def where(self) -> str:
        """Return the address of the Space or server, or the command that shows a local run."""
        if space := os.environ.get("TRACKIO_SPACE_ID"):
            return f"https://huggingface.co/spaces/{space}, run {self._name}"
        if server := os.environ.get("TRACKIO_SERVER_URL"):
            return f"{server.partition('?')[0]}, run {self._name}"  # what follows is the token that may write
        return f"run {self._name}; show it with: trackio show --project {shell_quote(self._project)}"

    def row(self, row: Row) -> None:
        self._send(int(row["step"]), {key: value for key, value in row.items() if key != "step"})

    def image(self, step: int, image: NDArray[np.uint8]) -> None:
        self._send(step, {PREVIEWS: self._image(image)})

    def finish(self, exit_code: int) -> None:
        if self._run is not None:
            with redirect_stdout(sys.stderr):
                self._run.finish()

    def _send(self, step: int, values: dict[str, Any]) -> None:
        """A run that breaks is reported once and ends no training: metrics.csv has the figures."""
        if self._run is None:
            return
        try:
            self._run.log(values, step=step)
        except (OSError, RuntimeError, ValueError) as error:
            self._run = None
            self._report(f"trackio takes no more figures from step {step} on ({error}); metrics.csv goes on")
