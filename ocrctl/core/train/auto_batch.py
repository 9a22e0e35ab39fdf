"""`train --auto-batch`: find the largest batch that fits in memory, each try in a process of its own.

The first try is what `--estimate` projects to fit; then the size is doubled until it does not fit, and the range
between is bisected. A try that takes too much memory ends only its own process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from ocrctl.config.model_card import ModelCard
from ocrctl.config.plugins import plugin_files
from ocrctl.config.settings import Settings
from ocrctl.core.train.task import Report
from ocrctl.data.datasets.kept import kept_per_batch
from ocrctl.errors import MissingRequirement, ResumableStop, UsageError
from ocrctl.runtime import free_memory, worker_processes
from ocrctl.training.batch_search import LARGEST, search_batch
from ocrctl.training.device import Accelerator
from ocrctl.training.projected import estimate_memory

USED = 0.9  # share of the free memory that a run may plan with; validation images and caches take some
WORKER = 150 << 20  # bytes of a loader process beside its batches
PREFETCHED = 4  # batches that each loader process holds ready
TRY_SECONDS = 600.0

Request = dict[str, Any]
Try = Callable[[Request], dict[str, Any]]


def with_largest_batch(
    settings: Settings, card: ModelCard, accelerator: Accelerator, report: Report, attempt: Try | None = None
) -> Settings:
    """Return the settings with the largest `train.batch_size` that fits, and a `train.accumulate` that keeps the
    effective batch at least at that of the settings.

    Raises ResumableStop when one image does not fit, MissingRequirement when the system does not tell its free memory.
    """
    attempt = attempt or run_attempt
    train = settings.train
    request: Request = {
        "card": card.to_json(), "train": train.model_dump(), "device": accelerator.device,
        "precision": accelerator.precision, "plugins": [str(file.resolve()) for file in plugin_files()],
    }  # fmt: skip
    limit = _limit(settings, accelerator, attempt, request, report)
    workers = worker_processes(settings.data.workers) if accelerator.device == "cpu" else 0
    reasons: dict[int, str] = {}

    def fits(size: int) -> bool:
        images = size + (kept_per_batch(size, train.keep_share) if settings.data.keep else 0)
        found = attempt({**request, "batch_size": images, "limit": limit})
        needed = found.get("peak", 0) + workers * (WORKER + PREFETCHED * found.get("batch", 0))
        reasons[size] = found["reason"]
        fit = bool(found["fits"]) and needed <= limit
        report(f"auto-batch: {size} {'fits' if fit else 'does not fit'}" + (f", {_mib(needed)}" if fit else ""))
        return fit

    found = search_batch(_first(settings, card, accelerator, limit), fits)
    if not found.size:
        raise ResumableStop(
            f"--auto-batch: not even one image of {card.height}x{card.widths} fits in {_mib(limit)}"
            f"{f' ({reasons[1]})' if reasons.get(1) else ''}.",
            hint="a smaller input (model.width, page.height and page.width) or a smaller model",
        )
    wanted = train.batch_size * train.accumulate
    accumulate = -(-wanted // found.size)
    beyond = (
        f"; {found.beyond} does not fit" if found.beyond is not None else f", the largest that is tried ({LARGEST})"
    )
    report(
        f"auto-batch: train.batch_size={found.size}, train.accumulate={accumulate} (given: {train.batch_size} x "
        f"{train.accumulate}){beyond}; train.lr stays {train.lr:g}"
    )
    changed = train.model_copy(update={"batch_size": found.size, "accumulate": accumulate})
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return Settings.model_construct(_fields_set={*settings.model_fields_set, "train"}, **{**values, "train": changed})


def _limit(settings: Settings, accelerator: Accelerator, attempt: Try, request: Request, report: Report) -> int:
    """Return the bytes that the training process may take, and report where they come from."""
    if accelerator.device == "cuda":
        limit = int(attempt({**request, "batch_size": 0, "limit": 0})["free"])
        report(f"auto-batch: {_mib(limit)} of GPU memory may be used")
        return limit
    free = free_memory()
    if free is None:
        raise MissingRequirement(
            "--auto-batch: this system does not tell its free memory.", hint="--set train.batch_size=N"
        )
    limit = int(USED * free.free)
    report(f"auto-batch: {_mib(limit)} may be used, {USED:.0%} of what is free ({free.reason})")
    return limit


def _first(settings: Settings, card: ModelCard, accelerator: Accelerator, limit: int) -> int:
    """Return the batch size that `--estimate` projects to fit; the one of the settings where it projects none."""
    try:
        one, nine = (
            estimate_memory(card, settings.train.model_copy(update={"batch_size": size}), accelerator).total
            for size in (1, 9)
        )
    except UsageError:
        return settings.train.batch_size
    return int(1 + max(0, limit - one) // max(1, (nine - one) // 8))


def run_attempt(request: Request) -> dict[str, Any]:
    """Try one batch size in a child process. A child that a signal ends, or that takes longer than TRY_SECONDS, did not
    fit. Raises UsageError for settings that the model does not support, RuntimeError for other failures."""
    command = [sys.executable, "-m", "ocrctl.core.train.batch_probe"]
    try:
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, timeout=TRY_SECONDS)
    except subprocess.TimeoutExpired:
        return {"fits": False, "reason": f"two steps took longer than {TRY_SECONDS:.0f} s"}
    if done.returncode < 0:
        return {"fits": False, "reason": f"ended by signal {-done.returncode}"}
    if done.returncode == 2:
        raise UsageError(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(f"--auto-batch: the trial step failed:\n{done.stderr.strip()[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
