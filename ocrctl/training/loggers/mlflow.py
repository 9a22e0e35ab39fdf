"""Log to an MLflow server or store."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.config.settings import Settings
from ocrctl.errors import MissingRequirement
from ocrctl.shell import shell_quote
from ocrctl.training.loggers.base import PREVIEWS, PROJECT, flat_settings, kept_id, write_id
from ocrctl.training.metrics_file import Row

ID_FILE = "mlflow-id.txt"  # in the run folder: the MLflow run that a resumed run adds to
_LONGEST = 6000  # characters of a parameter that every store takes
_STOPPED = 128  # exit codes above it: ended by a signal


class MlflowLogger:
    """A run of MLflow: settings as its parameters, figures, previews as artifacts. It is kept on resume.

    MLFLOW_TRACKING_URI and MLflow's other variables name the server; MLFLOW_EXPERIMENT_NAME the experiment.
    """

    def __init__(self, settings: Settings, run: Path, report: Callable[[str], None], *, resumed: bool) -> None:
        """Open the run. Raises MissingRequirement when the server or store cannot be reached."""
        import mlflow
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        self._metric, self._error, self._report = Metric, MlflowException, report
        self._address = str(mlflow.get_tracking_uri())
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        try:
            self._client: Any = mlflow.MlflowClient()
            self._id, self._experiment = self._open(run, name, kept_id(run / ID_FILE) if resumed else None)
            params = [Param(key, str(value)[:_LONGEST]) for key, value in flat_settings(settings).items()]
            if not resumed:  # a parameter of MLflow cannot change; config.toml has the settings of a resumed run
                for start in range(0, len(params), 100):  # the most that one request may hold
                    self._client.log_batch(self._id, params=params[start : start + 100])
        except (MlflowException, OSError) as error:
            raise MissingRequirement(
                f"mlflow cannot start at {self._address}: {str(error).strip().splitlines()[0][:300]}",
                hint="MLFLOW_TRACKING_URI names the server or folder; or --set log.logger=none",
            ) from error

    def _open(self, run: Path, name: str, kept: str | None) -> tuple[str, str]:
        """Return the ids of the run and of its experiment."""
        found = self._client.get_experiment_by_name(name)
        experiment = str(found.experiment_id if found is not None else self._client.create_experiment(name))
        if kept is not None:
            try:
                info = self._client.get_run(kept).info
                self._client.update_run(kept, status="RUNNING")
                return kept, str(info.experiment_id)
            except self._error:
                self._report(f"mlflow: {self._address} does not have run {kept} any more; a new one is created")
        created = self._client.create_run(experiment, run_name=run.name).info.run_id
        write_id(run / ID_FILE, created)
        return str(created), experiment

    @property
    def where(self) -> str:
        """Return the address of the run, or the command that serves a local store."""
        if self._address.startswith("http"):
            return f"{self._address.rstrip('/')}/#/experiments/{self._experiment}/runs/{self._id}"
        return f"run {self._id}; show it with: mlflow ui --backend-store-uri {shell_quote(self._address)}"

    def row(self, row: Row) -> None:
        now, step = int(1000 * time.time()), int(row["step"])
        metrics = [self._metric(key, float(value), now, step) for key, value in row.items() if key != "step"]
        self._send(step, lambda: self._client.log_batch(self._id, metrics=metrics))

    def image(self, step: int, image: NDArray[np.uint8]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"step-{step:07d}.png"
            file.write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
            self._send(step, lambda: self._client.log_artifact(self._id, str(file), PREVIEWS))

    def finish(self, exit_code: int) -> None:
        status = "FINISHED" if not exit_code else "KILLED" if exit_code > _STOPPED else "FAILED"
        self._send(None, lambda: self._client.set_terminated(self._id, status))

    def _send(self, step: int | None, request: Callable[[], Any]) -> None:
        """A server that is lost is reported once and ends no training: metrics.csv has the figures."""
        if self._client is None:
            return
        try:
            request()
        except (self._error, OSError) as error:
            self._client = None
            since = "" if step is None else f" from step {step} on"
            reason = str(error).strip().splitlines()[0]
            self._report(f"mlflow takes no more figures{since} ({reason}); metrics.csv goes on")
