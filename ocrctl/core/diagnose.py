"""`ocrctl diagnose`: one function per subject, each returning its checks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ocrctl.diagnose import cuda, environment
from ocrctl.diagnose.checks import Diagnosis, count
from ocrctl.diagnose.cuda_probe import Probe, SystemProbe
from ocrctl.diagnose.environment_probe import EnvironmentProbe, SystemEnvironment
from ocrctl.errors import InputError


def diagnose_cuda(probe: Probe | None = None, loader_spec: str | None = None) -> Diagnosis:
    """Check that PyTorch and ONNX Runtime can use CUDA; with `loader_spec`, also that loader processes can read that
    data set. `probe` replaces the machine in tests. Raises InputError when the data set is unreadable or empty."""
    if loader_spec is None:
        return cuda.diagnose_cuda(probe or SystemProbe())
    from ocrctl.data.formats.spec import open_annotations
    from ocrctl.diagnose.loader import diagnose_loader

    data = open_annotations(loader_spec)
    if not data.images:
        raise InputError(f"{loader_spec}: contains no image.")
    # First: processes are forked here, and a process that has initialised CUDA must not be.
    rows = diagnose_loader(data, SystemEnvironment().shared_memory())
    found = cuda.diagnose_cuda(probe or SystemProbe())
    return replace(found, checks=(*found.checks, *rows), summary=f"{found.summary} Loader: {count(rows)}.")


def diagnose_environment(probe: EnvironmentProbe | None = None) -> Diagnosis:
    """Check package versions, threads, memory and limits. `probe` replaces the machine in tests."""
    return environment.diagnose_environment(probe or SystemEnvironment())


def diagnose_replay(folder: Path) -> Diagnosis:
    """Replay a quarantined step; see diagnose.replay.replay."""
    from ocrctl.diagnose.replay import replay

    return replay(folder)
