"""`ocrctl train --devices N`: run the same command line in N processes, by torchrun's agent.

torchrun (torch.distributed.launcher) starts the processes, watches them, passes on signals and ends the others when one
fails. Started by torchrun or srun itself, a process finds its rank in the environment and starts nothing.
"""

from __future__ import annotations

import logging
import signal
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ocrctl.config.settings import Settings
from ocrctl.core.runs.folder import read_saved_settings
from ocrctl.errors import MissingRequirement, OcrctlError, ResumableStop
from ocrctl.shell import shell_quote
from ocrctl.training.processes import ProcessInfo

SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"  # passed on to the processes, which save and end
SHUTDOWN = 120  # seconds in which they do
KILLED = 9  # SIGKILL, which Windows does not define


def processes_to_start(settings: Settings, process: ProcessInfo, saved: Path | None) -> int:
    """Return the number of processes to start on this machine; 0 where this process trains itself.

    `saved`: config.toml of a run to resume, whose number of devices holds where `settings` sets none.
    """
    if process.launcher or settings.train.nodes > 1:
        return 0
    train = settings.train
    if saved is not None and "devices" not in train.model_fields_set:
        train = read_saved_settings(saved)[0].train
    return train.devices if train.processes > 1 and train.nodes == 1 else 0


def start_processes(count: int, words: Sequence[str], run: Path | None, report: Callable[[str], None]) -> int:
    """Run `ocrctl WORDS` in `count` processes and return their exit code: of the first that failed, 0 if none did.

    `run`: the run folder, for the command that resumes it. Raises ResumableStop for a process that a signal killed,
    MissingRequirement where PyTorch has no torch.distributed.
    """
    import torch.distributed as dist

    if not dist.is_available():
        raise MissingRequirement("This build of PyTorch has no torch.distributed, which several processes require.")
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.distributed.launcher"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the processes say themselves why they end
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0, logs_specs=DefaultLogsSpecs(), signals_to_handle=SIGNALS,
        shutdown_timeout=SHUTDOWN,
    )  # fmt: skip
    report(f"processes: {count}, started by torchrun's agent")
    sys.stdout.flush()
    try:
        elastic_launch(config, sys.executable)("-m", "ocrctl", *words)
    except SignalException as stop:
        return 128 + int(stop.sigval)
    except ChildFailedError as failed:
        return _exit_code(failed.failures, count, run)
    return 0


def _exit_code(failures: Mapping[int, Any], count: int, run: Path | None) -> int:
    """Return the exit code of the process that failed by itself. Raises ResumableStop when a signal killed it.

    A killed process comes before those that ended because they missed it, whichever torchrun saw first.
    """
    killed = {rank: failure for rank, failure in failures.items() if failure.exitcode == -KILLED}
    rank, first = min((killed or failures).items(), key=lambda item: item[1].timestamp)
    if first.exitcode >= 0:
        return int(first.exitcode)
    raise lost_process(rank, count, first.pid, -first.exitcode, run)


def lost_process(rank: int, count: int, pid: int, number: int, run: Path | None) -> OcrctlError:
    """Return the error for a process that a signal killed."""
    name = signal.Signals(number).name if number in {int(one) for one in signal.Signals} else str(number)
    resume = f"ocrctl train --resume -o {shell_quote(run)}" if run is not None else "ocrctl train --resume -o RUN"
    memory = "; out of memory is the usual reason (dmesg)" if number == getattr(signal, "SIGKILL", 0) else ""
    return ResumableStop(
        f"Process {rank} of {count} (pid {pid}) was killed by {name}{memory}; the others have ended.", hint=resume
    )
