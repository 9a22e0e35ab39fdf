"""Map missing system resources (`ocrctl.shortages`) to the setting that a training run changes and the command that
continues it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrctl import shortages
from ocrctl.config.settings import Settings
from ocrctl.errors import ResumableStop
from ocrctl.runtime import free_memory, process_bytes
from ocrctl.shell import shell_quote
from ocrctl.shortages import Shortage, reason_of, shortage_of
from ocrctl.training.watchdog import Stalled


@dataclass(frozen=True)
class _Remedy:
    """The setting to change, and whether a run may change it on resume."""

    change: Callable[[Settings], str]
    on_resume: bool


def _smaller_batch(settings: Settings) -> list[str]:
    """Return half the batch at the same effective batch size; nothing for a batch of one."""
    train = settings.train
    if train.batch_size == 1:
        return []
    half = max(1, train.batch_size // 2)
    return [f"--set train.batch_size={half} --set train.accumulate={-(-train.batch_size * train.accumulate // half)}"]


def _less_device_memory(settings: Settings) -> str:
    """Return the settings that need less memory on the device, in the order in which to try them."""
    changes = _smaller_batch(settings)
    if settings.train.precision == "32-true":
        changes.append("--set train.precision=bf16-mixed")
    if not settings.train.activation_checkpointing:
        changes.append("--set train.activation_checkpointing=true (not every architecture)")
    return _in_order([*changes, _smaller_input(settings)])


def _less_memory(settings: Settings) -> str:
    """Return the settings that need less memory of a CPU, in the order in which to try them."""
    changes = _smaller_batch(settings)
    if settings.data.workers:
        changes.append("--set data.workers=0")
    if settings.train.mkldnn:
        changes.append("--set train.mkldnn=false")
    return _in_order([*changes, _smaller_input(settings)])


def _smaller_input(settings: Settings) -> str:
    return "a smaller input (model.width, page.height and page.width) or model"


def _in_order(changes: list[str]) -> str:
    first, *others = changes
    more = f"; if that is not enough, in this order: {'; '.join(others)}" if others else ""
    return f"{first}{more}. --auto-batch finds the largest batch that fits"


def _no_workers(settings: Settings) -> str:
    return "--set data.workers=0"


def _more_memory(settings: Settings) -> str:
    return "a higher memory limit (ulimit -v, or the container's)"


_REMEDIES = {
    shortages.LIBRARIES: _Remedy(_more_memory, on_resume=False),
    shortages.DEVICE_MEMORY: _Remedy(_less_device_memory, on_resume=False),
    shortages.MEMORY: _Remedy(_less_memory, on_resume=False),
}
_OTHERS = _Remedy(_no_workers, on_resume=True)
_BATCH = {
    shortages.DEVICE_MEMORY: " at batch {}",
    shortages.MEMORY: " at batch {}",
    shortages.SHARED: " for a batch of {}",
}


def can_resume(error: BaseException) -> bool:
    """Return whether the same run continues after `error` from the step that it has reached: a missing resource that a
    changed setting avoids, or a batch that did not come in time."""
    if isinstance(error, Stalled):
        return error.between_steps
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
    return ResumableStop(
        f"{lack.sentence}{_BATCH.get(lack, '').format(settings.train.batch_size)}: {reason_of(error)}{_held(lack)}",
        hint=f"{_command(lack, run)} {change}",
    )


def _held(lack: Shortage) -> str:
    """Return a clause on what is allocated, where the kind of memory is known."""
    if lack is shortages.DEVICE_MEMORY:
        import torch

        if not torch.cuda.is_initialized():
            return ""
        free, total = torch.cuda.mem_get_info()
        tensors, reserved = torch.cuda.max_memory_allocated(), torch.cuda.memory_reserved()
        return (
            f" (tensors took up to {_gib(tensors)}; PyTorch holds {_gib(reserved)} of {_gib(total)}, "
            f"{_gib(free)} are free)"
        )
    if lack in (shortages.MEMORY, shortages.WORKER_MEMORY):
        highest, free_now = process_bytes("VmHWM"), free_memory()
        if highest and free_now is not None:
            return (
                f" (the training process held up to {_gib(highest)}; {_gib(free_now.free)} are free: {free_now.reason})"
            )
    return ""


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


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
