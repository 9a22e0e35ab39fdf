"""`ocrctl diagnose`: one function per subject, each returning its rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ocrctl.diagnose import cuda, environment
from ocrctl.diagnose.checks import Diagnosis, count
from ocrctl.diagnose.cuda_probe import Probe, SystemProbe
from ocrctl.diagnose.environment_probe import EnvironmentProbe, SystemEnvironment
from ocrctl.errors import InputError


def diagnose_cuda(probe: Probe | None = None, loader_spec: str | None = None) -> Diagnosis:
    """Is CUDA usable by PyTorch and ONNX Runtime? `probe` stands in for the machine in tests. With `loader_spec`, also:
    do loader processes read that data set? Raises InputError when it cannot be opened or holds no image."""
    if loader_spec is None:
        return cuda.diagnose_cuda(probe or SystemProbe())
    from ocrctl.data.formats.spec import open_annotations
    from ocrctl.diagnose.loader import diagnose_loader

    data = open_annotations(loader_spec)
    if not data.images:
        raise InputError(f"{loader_spec}: holds no image that could be loaded.")
    # First: processes are forked here, and a process that has initialised CUDA must not be.
    rows = diagnose_loader(data, SystemEnvironment().shared_memory())
    found = cuda.diagnose_cuda(probe or SystemProbe())
    return replace(found, checks=(*found.checks, *rows), summary=f"{found.summary} Loader: {count(rows)}.")


def diagnose_environment(probe: EnvironmentProbe | None = None) -> Diagnosis:
    """Do the packages fit each other, and the threads, memory and limits the work? `probe` as above."""
    return environment.diagnose_environment(probe or SystemEnvironment())


def diagnose_replay(folder: Path) -> Diagnosis:
    """What went wrong in a quarantined step? See diagnose.replay.replay."""
    from ocrctl.diagnose.replay import replay

    return replay(folder)
