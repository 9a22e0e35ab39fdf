"""`ocrctl diagnose`: one function per subject, each returning its rows."""

from __future__ import annotations

from pathlib import Path

from ocrctl.diagnose import cuda, environment
from ocrctl.diagnose.checks import Diagnosis
from ocrctl.diagnose.cuda_probe import Probe, SystemProbe
from ocrctl.diagnose.environment_probe import EnvironmentProbe, SystemEnvironment


def diagnose_cuda(probe: Probe | None = None) -> Diagnosis:
    """Is CUDA usable by PyTorch and ONNX Runtime? `probe` stands in for the machine in tests."""
    return cuda.diagnose_cuda(probe or SystemProbe())


def diagnose_environment(probe: EnvironmentProbe | None = None) -> Diagnosis:
    """Do the packages fit each other, and the threads, memory and limits the work? `probe` as above."""
    return environment.diagnose_environment(probe or SystemEnvironment())


def diagnose_replay(folder: Path) -> Diagnosis:
    """What went wrong in a quarantined step? See diagnose.replay.replay."""
    from ocrctl.diagnose.replay import replay

    return replay(folder)
