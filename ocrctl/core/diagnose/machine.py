"""`ocrctl diagnose`: one function per subject, each returning its checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ocrctl.diagnose import cuda, environment
from ocrctl.diagnose.checks import Diagnosis, count
from ocrctl.diagnose.cuda_probe import Probe, SystemProbe
from ocrctl.diagnose.environment_probe import EnvironmentProbe, SystemEnvironment
from ocrctl.text.charset import Charset

if TYPE_CHECKING:
    from ocrctl.config.model_card import ModelCard
    from ocrctl.config.settings import Settings
    from ocrctl.diagnose.cuda_step import StepRequest


def diagnose_cuda(
    probe: Probe | None = None,
    loader_spec: str | None = None,
    settings: Settings | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Diagnosis:
    """Check that PyTorch and ONNX Runtime can use CUDA; with `loader_spec`, also that loader processes can read that
    data set. `settings`: architecture and training step whose host waits and largest batch are measured, and how the
    data set is loaded. `probe` replaces the machine in tests; `on_step` as in diagnose_loader. Raises InputError when
    the data set is unreadable or empty."""

    def step() -> StepRequest:
        from ocrctl.core.settings import load_settings
        from ocrctl.diagnose.cuda_step import StepRequest

        chosen = settings or load_settings([], [], {})
        return StepRequest(step_card(chosen), chosen.train)

    if loader_spec is None:
        return cuda.diagnose_cuda(probe or SystemProbe(step))
    from ocrctl.core.diagnose.loader import diagnose_loader
    from ocrctl.core.train.run import load_train_settings, with_changes

    # First: processes are forked here, and a process that has initialised CUDA must not be.
    loading = load_train_settings(None, [], {"data": {"train": [loader_spec]}}, use_variables=False)
    if settings is not None:
        loading = with_changes(settings, data=settings.data.model_copy(update={"train": loading.data.train}))
    rows = diagnose_loader(loading, on_step=on_step).checks
    found = cuda.diagnose_cuda(probe or SystemProbe(step))
    return replace(found, checks=(*found.checks, *rows), summary=f"{found.summary} Loader: {count(rows)}.")


def step_card(settings: Settings) -> ModelCard:
    """Return the card of the model that the settings describe, without opening any data."""
    from ocrctl.config.detection_card import detection_card
    from ocrctl.config.model_card import recognition_card
    from ocrctl.models.registry import DEFAULT_ARCH, spec_for

    spec = spec_for(settings.arch or DEFAULT_ARCH, settings.model)
    if spec.task == "detection":
        page = settings.page
        return detection_card(spec, settings.model, height=page.height, width=page.width, side=page.side)
    return recognition_card(spec, Charset.load(settings.data.charset or spec.default_charset).chars)


def diagnose_environment(probe: EnvironmentProbe | None = None, charset: str = "ascii94") -> Diagnosis:
    """Check package versions, threads, memory, libraries, disks and limits. `probe` replaces the machine in tests;
    `charset`: a file or a built-in charset whose characters previews have to draw."""
    return environment.diagnose_environment(probe or SystemEnvironment(), Charset.load(charset).chars)


def diagnose_replay(folder: Path) -> Diagnosis:
    """Replay a quarantined step; see diagnose.replay.replay."""
    from ocrctl.diagnose.replay import replay

    return replay(folder)
