"""Map missing system resources (`ocrctl.shortages`) to the setting that a training run changes and the command that
continues it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrctl import shortages
from ocrctl.config.settings import Settings
from ocrctl.errors import ResumableStop
from ocrctl.shell import shell_quote
from ocrctl.shortages import Shortage, reason_of, shortage_of


@dataclass(frozen=True)
class _Remedy:
    """The setting to change, and whether a run may change it on resume."""

    change: Callable[[Settings], str]
    on_resume: bool


def _smaller_batch(settings: Settings) -> str:
    train = settings.train
    if train.batch_size == 1:
        return "a smaller input or model"
    half = max(1, train.batch_size // 2)
    return f"--set train.batch_size={half} --set train.accumulate={-(-train.batch_size * train.accumulate // half)}"


def _no_workers(settings: Settings) -> str:
    return "--set data.workers=0"


def _more_memory(settings: Settings) -> str:
    return "a higher memory limit (ulimit -v, or the container's)"


_REMEDIES = {
    shortages.LIBRARIES: _Remedy(_more_memory, on_resume=False),
    shortages.DEVICE_MEMORY: _Remedy(_smaller_batch, on_resume=False),
    shortages.MEMORY: _Remedy(_smaller_batch, on_resume=False),
}
_OTHERS = _Remedy(_no_workers, on_resume=True)
_BATCH = {
    shortages.DEVICE_MEMORY: " at batch {}",
    shortages.MEMORY: " at batch {}",
    shortages.SHARED: " for a batch of {}",
}


def can_resume(error: BaseException) -> bool:
    """Return whether `error` is a missing resource after which the same run continues with a changed setting."""
    lack = shortage_of(error)
    return lack is not None and _REMEDIES.get(lack, _OTHERS).on_resume


def resumable(error: BaseException, settings: Settings, run: Path | None) -> ResumableStop | None:
    """Convert `error` to a ResumableStop with the command that continues the run; None if it is not a
    missing resource. `run`: folder of the run, None before it exists."""
    lack = shortage_of(error)
    if lack is None:
        return None
    change = _REMEDIES.get(lack, _OTHERS).change(settings)
    if lack is shortages.SHARED:
        change = f"{change}, or enlarge /dev/shm (docker run --shm-size=1g)"
    if lack is shortages.MEMORY:
        change = f"{change}; fewer data.workers and --set train.mkldnn=false need less, too"
    return ResumableStop(
        f"{lack.sentence}{_BATCH.get(lack, '').format(settings.train.batch_size)}: {reason_of(error)}",
        hint=f"{_command(lack, run)} {change}",
    )


def _command(lack: Shortage, run: Path | None) -> str:
    """Return the start of the command that continues the run."""
    if run is None or not (run / "config.toml").exists():
        return "run the same command with"
    if _REMEDIES.get(lack, _OTHERS).on_resume:
        return f"go on with: ocrctl train --resume -o {shell_quote(run)}"
    if (run / "last.ckpt").exists():
        profile = shell_quote(run / "config.toml")
        return f"a new run from this one: ocrctl train -p {profile} --from {shell_quote(run)} -o NEW"
    return f"nothing was saved yet; begin again: ocrctl train -p {shell_quote(run / 'config.toml')} -o NEW"
