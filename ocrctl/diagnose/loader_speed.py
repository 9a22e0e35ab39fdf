"""Measure the training stream: repeatable samples, time by stage, images per second by number of loader processes."""

from __future__ import annotations

import cProfile
import pstats
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from zlib import crc32

from ocrctl.data.datasets.loader import to_tensors, training_loader
from ocrctl.diagnose.checks import Check, fail, first_line, ok, skipped, warn, with_examined
from ocrctl.diagnose.loader import next_batch
from ocrctl.errors import OcrctlError, counted

ROUND = 1.5  # seconds for which each number of processes is measured
ENOUGH = 0.95  # share of the best rate that is worth no further process
SLOWER = 0.85  # share of the best rate below which the number of the settings is a warning
STORAGE = 0.5  # share of the time for reading at which the storage is the limit
COMPARED = 3  # batches that loader processes and this process both prepare
SEARCHED = 5000  # draws among which two of one sample are searched, a third of them
PROFILED = 2  # batches whose stages are timed, at least
# Functions by name that make up a stage; what one calls belongs to it.
STAGES = {
    "read": ("image_bytes",),
    "decode": ("decode",),
    "augment": ("augment_word", "sample_view", "warp_page", "degrade_page"),
    "resize": ("resize_for",),
    "targets": ("page_targets", "targets", "page_words"),
    "collate": ("collate",),
}
EXAMINED = {
    "loader seeds": "the same draws, augmented, from loader processes and from this process; two draws of one sample",
    "loader time": "time by stage of preparing batches in one process",
    "loader throughput": "images per second with 0 to N loader processes",
    "loader workers": "data.workers against the measured rates",
    "loader pin_memory": "images per second with page-locked batches",
}


class Stream(Protocol):
    """A training stream: data.datasets.recognition.TrainingWords, data.datasets.detection.TrainingPages."""

    def __getitems__(self, numbers: Sequence[int]) -> Any:
        """Return the samples `numbers` as one batch, or the OcrctlError of one of them."""

    def locate(self, n: int) -> tuple[tuple[int, int], str]:
        """Return (source, index) of draw `n`, and its location."""


@dataclass(frozen=True)
class LoaderRun:
    """How a training loads: its stream, samples of a batch, processes and start method; `augmented`: draws of one
    sample differ; `epoch`: draws after which the samples repeat, None for an endless stream."""

    stream: Stream
    batch: int
    workers: int
    start_method: str
    augmented: bool
    epoch: int | None


def check_speed(
    run: LoaderRun, most: int, patience: float, *, cuda: bool, on_check: Callable[[], None] = lambda: None
) -> list[Check]:
    """Return the rows about repeatability and speed, with up to `most` loader processes. `cuda`: a device that
    page-locked memory is for. `on_check`: called after each timed check."""
    rows = [_seeds(run, max(1, min(2, most)), patience)]
    on_check()
    rows.append(_time(run))
    on_check()
    rates = _rates(run, most, patience, on_check)
    rows += [_throughput(rates), workers_check(run.workers, rates), _pinned(run, rates, patience, cuda)]
    return list(with_examined(rows, EXAMINED))


def _checksums(batch: dict[str, Any]) -> list[int]:
    return [crc32(image.contiguous().numpy().tobytes()) for image in batch["images"]]


def _here(run: LoaderRun, start: int) -> dict[str, Any]:
    """Return a batch that this process prepares. Raises the OcrctlError of a sample."""
    found = to_tensors(run.stream.__getitems__(range(start, start + run.batch)))
    if isinstance(found, OcrctlError):
        raise found
    return found


def _seeds(run: LoaderRun, workers: int, patience: float) -> Check:
    """Draws must not depend on the process: random state inherited by a fork repeats in every loader process."""
    name = "loader seeds"
    fix = "derive all random numbers of a sample from (seed, draw number); no global random state in augmentation"
    meaning = "loader processes repeat each other's augmentation, and a resumed run sees other samples"
    try:
        loader = training_loader(
            run.stream, batch_size=run.batch, start=0, workers=workers, start_method=run.start_method
        )
        try:
            first = [_checksums(dict(next_batch(loader, patience))) for _ in range(COMPARED)]
        finally:
            loader.close()
        for number, found in enumerate(first):
            expected = _checksums(_here(run, number * run.batch))
            if found != expected:
                draw = number * run.batch + next(i for i, one in enumerate(found) if one != expected[i])
                where = run.stream.locate(draw)[1]
                return fail(name, f"draw {draw} ({where}) differs between a loader process and this one", fix, meaning)
    except (queue.Empty, Exception) as error:
        return skipped(name, f"the loader processes deliver nothing: {first_line(error)}")
    seen = f"{COMPARED * run.batch} draws from {counted(workers, 'process', 'processes')} equal those of this one"
    if run.augmented and run.epoch and (twins := _repeated(run)):
        return fail(name, f"draws {twins[0]} and {twins[1]} of one sample are augmented alike", fix, meaning)
    return ok(name, seen)


def _repeated(run: LoaderRun) -> tuple[int, int] | None:
    """Return the first two draws of one sample when every sample of a batch looks the same in both epochs."""
    assert run.epoch is not None
    seen: dict[tuple[int, int], int] = {}
    pairs = []
    for draw in range(3 * min(run.epoch, SEARCHED)):
        key = run.stream.locate(draw)[0]
        if key in seen:
            pairs.append((seen[key], draw))
        seen.setdefault(key, draw)
        if len(pairs) == run.batch:
            break
    if not pairs:
        return None
    sums = []
    for column in (0, 1):
        batch = to_tensors(run.stream.__getitems__([pair[column] for pair in pairs]))
        if isinstance(batch, OcrctlError):
            raise batch
        sums.append(_checksums(batch))
    return pairs[0] if sums[0] == sums[1] else None


def stage_shares(run: LoaderRun, seconds: float = ROUND) -> tuple[dict[str, float], float]:
    """Profile this process for `seconds` while it prepares batches; returns the share of each stage, the rest as
    "other", and images per second."""
    profile = cProfile.Profile()
    start, done = time.perf_counter(), 0
    while done < PROFILED or time.perf_counter() - start < seconds:
        profile.enable()
        found = run.stream.__getitems__(range(done * run.batch, (done + 1) * run.batch))
        profile.disable()
        if isinstance(found, OcrctlError):
            raise found
        done += 1
    rate = done * run.batch / (time.perf_counter() - start)
    stats: Any = pstats.Stats(profile)
    total = sum(own for _, _, own, _, _ in stats.stats.values())
    spent = dict.fromkeys(STAGES, 0.0)
    stage_of = {function: stage for stage, functions in STAGES.items() for function in functions}
    for (_, _, function), (_, _, _, cumulative, callers) in stats.stats.items():
        stage = stage_of.get(function)
        if stage is None:
            continue
        nested = sum(called[3] for caller, called in callers.items() if caller[2] in stage_of)
        spent[stage] += max(0.0, cumulative - nested)
    shares = {stage: value / max(total, 1e-9) for stage, value in spent.items() if value}
    return {**shares, "other": max(0.0, 1 - sum(shares.values()))}, rate


def _time(run: LoaderRun) -> Check:
    name = "loader time"
    try:
        shares, _ = stage_shares(run)
    except OcrctlError as error:
        fix = "ocrctl dataset validate lists what is damaged"
        return fail(name, error.message, fix, "training stops when it draws this sample")
    seen = ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
    if shares.get("read", 0.0) > STORAGE:
        meaning = "the storage is the limit: more loader processes wait for it, too"
        return warn(name, seen, "ocrctl lmdb build SPEC OUT.lmdb on a local disk", meaning)
    return ok(name, seen)


def measured_numbers(most: int) -> list[int]:
    """Return the numbers of loader processes that are measured, `most` at the most (one in any case)."""
    return sorted({0, 1, *range(2, most + 1, 1 if most <= 4 else 2), most})


def _rates(run: LoaderRun, most: int, patience: float, on_check: Callable[[], None]) -> dict[int, float]:
    """Return images per second by number of loader processes; a number that fails is missing."""
    rates: dict[int, float] = {}
    for workers in measured_numbers(most):
        if (rate := measure(run, workers, patience)) is not None:
            rates[workers] = rate
        on_check()
    return rates


def measure(run: LoaderRun, workers: int, patience: float, *, pinned: bool = False) -> float | None:
    """Return images per second with `workers` loader processes, None when they deliver nothing."""
    try:
        loader = training_loader(
            run.stream, batch_size=run.batch, start=0, workers=workers, start_method=run.start_method,
            pin_memory=pinned,
        )  # fmt: skip
        try:
            for _ in range(1 + workers):  # the processes have started, and what they prepared meanwhile is taken
                next_batch(loader, patience)
            count, start = 0, time.perf_counter()
            while (seconds := time.perf_counter() - start) < ROUND or not count:
                count += len(next_batch(loader, patience)["images"])
        finally:
            loader.close()
    except (queue.Empty, Exception):  # the rows about the processes have it as their finding
        return None
    return count / max(seconds, 1e-9)


def recommended(rates: dict[int, float]) -> int:
    """Return the lowest number of processes with nearly the best rate."""
    best = max(rates.values())
    return min(workers for workers, rate in rates.items() if rate >= ENOUGH * best)


def _throughput(rates: dict[int, float]) -> Check:
    name = "loader throughput"
    if not rates:
        return skipped(name, "no batch arrives")
    shown = ", ".join(
        f"{workers}: {_shown(rate)}" + (f" ({_shown(rate / workers)} each)" if workers > 1 else "")
        for workers, rate in rates.items()
    )
    return ok(name, f"images/s by loader processes: {shown}")


def workers_check(chosen: int, rates: dict[int, float]) -> Check:
    """Compare data.workers=`chosen` with the measured rates by number of processes, the nearest one where `chosen` was
    not measured."""
    name = "loader workers"
    if not rates:
        return skipped(name, "no batch arrives")
    best = recommended(rates)
    used = min(rates, key=lambda workers: abs(workers - chosen))
    seen = f"data.workers={best} gives {_shown(rates[best])} images/s; the settings say {chosen}, "
    if used != chosen:
        seen += "which was not measured"
    if used not in (chosen, best):
        seen += f"; {used} give{'s' if used == 1 else ''} {_shown(rates[used])}/s"
    elif used == chosen:
        seen += f"{_shown(rates[used])}/s"
    if rates[used] < SLOWER * max(rates.values()):
        meaning = "the device waits for images, or the cores are shared by too many processes"
        return warn(name, seen, f"--set data.workers={best}", meaning)
    return ok(name, seen)


def _pinned(run: LoaderRun, rates: dict[int, float], patience: float, cuda: bool) -> Check:
    name = "loader pin_memory"
    if not cuda:
        return skipped(name, "page-locked memory needs a CUDA device")
    workers = recommended(rates) if rates else run.workers
    rate = measure(run, workers, patience, pinned=True)
    if rate is None:
        fix = "ulimit -l unlimited, or a container with --ulimit memlock=-1"
        return fail(name, "no page-locked batch arrives", fix, "training on this GPU waits for its first batch")
    return ok(name, f"{_shown(rate)} images/s page-locked, {_shown(rates.get(workers, 0.0))} without")


def _shown(rate: float) -> str:
    """Return a rate with one decimal below 10."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
