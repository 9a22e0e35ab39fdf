"""`ocrctl train`: train a model into a run folder."""

from __future__ import annotations

import shlex
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.command_line import typed_words
from ocrctl.cli.help import CHECKS, INPUTS, MODEL, OUTPUT, RUNTIME, TRAINING
from ocrctl.cli.options import Charset, Data, Json, Plugins, Profiles, Quiet, Sets, plugin_flags
from ocrctl.cli.progress import ProgressBar
from ocrctl.errors import InputError, OcrctlError, UsageError, counted
from ocrctl.shell import shell_quote

if TYPE_CHECKING:
    from ocrctl.config.settings import Settings
    from ocrctl.core.fine_tune.forgetting import Forgetting
    from ocrctl.core.train.run import TrainRequest
    from ocrctl.core.train.task import TrainingTask, TrainResult

FIRST_REPORTS = 2.0  # seconds in which the first process of several prints an error that all of them found


def train(
    arch: Annotated[
        str | None,
        typer.Argument(metavar="ARCH", help="Architecture, see `ocrctl model list`. Default: the profile's."),
    ] = None,
    data: Data = None,
    val: Annotated[
        str | None,
        typer.Option(
            "--val",
            metavar="SPEC",
            help="Validation dataset. Default: 5 % of the training data, held out by image.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    profile: Profiles = None,
    sets: Sets = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Initialise from a checkpoint, run folder, default:NAME or published weights.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="SPEC|synth|none",
            help="With --from: mix in images (images:FOLDER: without labels; synth: rendered text) on which the model "
            "learns the outputs of the --from model, so that it does not forget.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    general: Annotated[
        str | None,
        typer.Option(
            "--general",
            metavar="SPEC|none",
            help="With --from: labelled data to measure forgetting on at the end; exit 1 beyond train.max_forgetting. "
            "Default: the held-out part of --keep, else rendered text.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    charset: Charset = None,
    unknown_chars: Annotated[
        str | None,
        typer.Option(
            "--unknown-chars",
            metavar="refuse|skip",
            help="Refuse data with characters outside the charset, or skip those samples.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="RUN", help="Run folder. Default: runs/<date>-<arch>.", rich_help_panel=OUTPUT
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the run at -o from its last checkpoint; start it if there is none.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
    devices: Annotated[
        int | None,
        typer.Option(
            "--devices",
            min=1,
            metavar="N",
            help="GPUs of this machine that train together, one process each. For several machines: srun, torchrun.",
            rich_help_panel=RUNTIME,
        ),
    ] = None,
    fast_dev_run: Annotated[
        bool,
        typer.Option(
            "--fast-dev-run",
            help="Run three steps and one small validation to test the set-up.",
            rich_help_panel=CHECKS,
        ),
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Estimate the memory of a step by part, on the device that would train or on train.device, without "
            "training.",
            rich_help_panel=CHECKS,
        ),
    ] = False,
    auto_batch: Annotated[
        bool,
        typer.Option(
            "--auto-batch",
            help="First find the largest train.batch_size that fits in memory, by tries in child processes, and train "
            "with it.",
            rich_help_panel=RUNTIME,
        ),
    ] = False,
    preflight: Annotated[
        bool,
        typer.Option(
            "--preflight",
            help="First check that labels fit, gradients reach every parameter and the model overfits one batch; "
            "exit 1 if not.",
            rich_help_panel=CHECKS,
        ),
    ] = False,
    debug_cuda: Annotated[
        bool,
        typer.Option(
            "--debug-cuda",
            help="Synchronise after every CUDA kernel, so that errors name their line. Slow.",
            rich_help_panel=RUNTIME,
        ),
    ] = False,
    plugin: Plugins = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a recogniser or a detector.

    Without -d it trains on synth:words or synth:pages, endless streams of rendered images. Common settings:
    train.max_steps, train.max_epochs, train.max_minutes, train.lr, train.batch_size, train.accumulate,
    train.precision, data.workers; `ocrctl profile check --settings` lists all. A --from run ends with a
    report of what was gained and forgotten. Exit codes: 1 more forgotten than train.max_forgetting, 5 stopped but
    resumable, 129/130/138/143 stopped by SIGHUP, Ctrl-C, SIGUSR1 or SIGTERM after saving.

    \b
    Examples:
      ocrctl train -p quickstart
      ocrctl train crnn -d data/train -d data/more --val data/val -o runs/crnn
      ocrctl train --resume -o runs/crnn
    """
    from ocrctl.models.registry import specs

    if arch is not None and arch not in specs() and ("=" in arch or "/" in arch or Path(arch).exists()):
        raise UsageError(f"expected an architecture, found {arch!r}.", hint=_corrected(arch))

    from ocrctl.core.train.launch import processes_to_start, start_processes
    from ocrctl.core.train.run import TrainRequest, load_train_settings
    from ocrctl.core.train.run import train as run_training
    from ocrctl.training.processes import find_process

    flags = {
        "arch": arch,
        "train": {"devices": devices},
        "data": {
            "train": data,
            "val": val,
            "keep": keep,
            "general": general,
            "charset": charset,
            "unknown_chars": unknown_chars,
        },
        "model": {"init": init},
    }
    resuming = resume and out is not None and (out / "config.toml").exists()
    settings = load_train_settings(profile, sets or [], flags, use_variables=not resuming)
    if estimate:
        _estimate(settings, json)
        return
    process = find_process(typed_words())
    if count := processes_to_start(settings, process, out / "config.toml" if resuming and out else None):
        raise typer.Exit(start_processes(count, typed_words(), out, console.note))
    request = TrainRequest(settings, out, resume, fast_dev_run, preflight, debug_cuda, auto_batch, process)
    if not process.first:
        _follow(request)
        return
    ended: list[tuple[Settings, TrainingTask, TrainResult]] = []
    try:
        with ProgressBar("steps") as progress:
            result = run_training(request, console.note, progress, lambda *given: ended.append(given))
    except InputError as error:
        raise _refused(error, resuming, plugin) from error
    except KeyboardInterrupt:  # before the first step or after the last one; in between, the run saves and returns
        _report_saved(out, "nothing is saved yet", plugin)
        raise
    if not json:
        with console.ignoring_closed_pipe():
            _report(result)
    try:
        change = _measure(*ended[0]) if ended else None
    except (Exception, KeyboardInterrupt) as error:
        _report_unmeasured(result, error, json)
        raise
    with console.ignoring_closed_pipe():
        if json:
            console.write_json({**console.to_plain(result), "forgetting": change})
        elif change is not None:
            _report_change(change)
    if result.stopped_by_signal is not None:
        name = signal.Signals(result.stopped_by_signal).name
        what = "interrupted (Ctrl-C)" if name == "SIGINT" else f"stopped by {name}"
        _report_saved(result.run, "no step was saved", plugin, f"{what}: ")
        raise typer.Exit(128 + result.stopped_by_signal)
    if fast_dev_run:
        console.suggest(_without_trial())
        return
    run = shell_quote(result.run)
    if change is not None and change.forgotten:
        _warn_forgotten(change, run, plugin)
        raise typer.Exit(1)
    if result.unread:
        console.warn(f"warning: the model {result.unread} after {counted(result.steps, 'step')}.")
        console.warn(
            f"hint: this is normal in the first few hundred steps: train longer (train.max_steps); "
            f"{run}/previews shows samples, and diagnose model checks whether the model can learn this data"
        )
        console.suggest(f"ocrctl diagnose model {run}{plugin_flags(plugin)}")
        return
    # A --from run has just been measured on both sets.
    measure = f"eval {run} -d {shell_quote(result.eval_spec)}" if result.eval_spec and change is None else None
    console.suggest(f"ocrctl {measure or f'export {run} -o {run}/export'}{plugin_flags(plugin)}")


def _follow(request: TrainRequest) -> None:
    """Train as one of the processes beside the first, which alone reports: what all of them found ends this one with 0,
    an error of its own is printed with its rank."""
    from ocrctl.core.train.run import train as run_training

    try:
        run_training(request, lambda line: None)
    except OcrctlError as error:
        # What every process finds at the start, the first one prints; the launcher then ends this one.
        time.sleep(FIRST_REPORTS)
        error.message = f"process {request.process.rank} of {request.process.world}: {error.message}"
        raise


def _report(result: TrainResult) -> None:
    if result.run.exists():  # not after --fast-dev-run without -o
        console.write(f"run: {result.run}")
    console.write(f"steps: {result.steps} in {result.seconds:.0f} s")
    for goal in ("exact", "hmean"):
        if f"val_{goal}" in result.last:
            best = f"best {result.best_accuracy:.1%} at step {result.best_step}"
            console.write(f"val {goal}: {result.last[f'val_{goal}']:.1%} ({best})")


def _report_saved(run: Path | None, nothing: str, plugin: list[Path] | None, what: str = "") -> None:
    """Say which step of an ended run is saved, and the command that continues with it; `nothing` where none is."""
    from ocrctl.core.runs.show import saved_step

    step = saved_step(run) if run is not None else None
    if run is None or step is None:
        console.warn(f"{what}{nothing}")
        return
    console.warn(f"{what}step {step:,} is saved in {run / 'last.ckpt'}")
    console.suggest(f"ocrctl train --resume -o {shell_quote(run)}{plugin_flags(plugin)}")


def _report_unmeasured(result: TrainResult, error: BaseException, json: bool) -> None:
    """Say that the model is saved, but that what it has forgotten could not be measured for `error`."""
    if json:
        reason = getattr(error, "message", None) or str(error) or type(error).__name__
        with console.ignoring_closed_pipe():
            console.write_json({**console.to_plain(result), "forgetting": None, "error": reason})
    console.warn(f"warning: the model is saved in {result.run}, but measuring what it has forgotten failed")


def _measure(settings: Settings, task: TrainingTask, result: TrainResult) -> Forgetting | None:
    """Score what a --from run has gained and forgotten; None for other runs."""
    if not settings.model.init:
        return None
    from ocrctl.core.fine_tune.forgetting import forgetting

    with ProgressBar("samples") as progress:
        return forgetting(settings, task, result, progress)


def _report_change(found: Forgetting) -> None:
    console.note(f"before: {found.base}; after: {found.model}, step {found.step:,}")
    rows = []
    for name, change in (("new", found.new), ("general", found.general)):
        if change is not None:
            low, high = 100 * change.change.low, 100 * change.change.high
            points = f"{100 * change.change.value:+.2f} [{low:+.2f}, {high:+.2f}]"
            row = [name, change.dataset, change.metric, change.samples, f"{100 * change.before:.2f}"]
            rows.append([*row, f"{100 * change.after:.2f}", points])
    console.table(
        ["set", "data", "metric", "samples", "before %", "after %", "change (after - before), points"], rows, 1
    )


def _warn_forgotten(found: Forgetting, run: str, plugin: list[Path] | None) -> None:
    """Say that the general set lost too much, and suggest to merge the model with its base."""
    assert found.general is not None
    console.warn(
        f"warning: {found.model} loses {-100 * found.general.change.value:.2f} points on {found.general.dataset}, more "
        f"than train.max_forgetting={found.limit:g}; the model is saved"
    )
    console.warn("hint: keep what the base can do with --keep, merge the two models, or lower train.lr")
    share = f"--val {shell_quote(found.val_spec)}" if found.val_spec else "--alpha 0.5"
    sets = f"{share} --general {shell_quote(found.general_spec)}"
    console.suggest(
        f"ocrctl model merge {shell_quote(found.base)} {run} -o {run}/merged.ckpt {sets}{plugin_flags(plugin)}"
    )


def _without_trial() -> str:
    """Return the command line as typed without --fast-dev-run, --preflight and the run folder."""
    words, kept = iter(typed_words()), []
    for word in words:
        if word in ("-o", "--out"):
            next(words, None)
        elif word not in ("--fast-dev-run", "--preflight") and not word.startswith(("--out=", "-o=")):
            kept.append(word)
    return shlex.join(["ocrctl", *kept])


def _refused(error: InputError, resuming: bool, plugin: list[Path] | None) -> InputError:
    """Return the error with a corrected command line as its hint; a resumed run keeps its charset and width, so it gets
    no hint."""
    from ocrctl.core.train.data_errors import TrainingDataError

    if isinstance(error, TrainingDataError) and error.fix is not None:
        error.hint = None if resuming else error.fix.command(typed_words(), plugin_flags(plugin))
    return error


def _estimate(settings: Settings, json: bool) -> None:
    """Print the memory of one step by part, in MiB, or in bytes with --json."""
    from dataclasses import fields

    from ocrctl.core.train.estimate import estimate

    result = estimate(settings)
    if json:
        console.write_json(result)
        return
    rows = [(part.name, f"{getattr(result.memory, part.name) / 2**20:.0f}") for part in fields(result.memory)]
    console.table(["part", "MiB"], [*rows, ("total", f"{result.total / 2**20:.0f}")])
    size = f"batch {result.batch_size} of {result.height}x{result.width}"
    console.note(f"{result.arch}, {size}, {result.precision} on {result.device} ({result.why})")


def _corrected(word: str) -> str:
    """Return the command line as typed with the missing option before `word`, and with option names of other tools
    replaced by settings."""
    from typer._click.globals import get_current_context

    from ocrctl.cli.corrections import corrected

    context = get_current_context(silent=True)
    if "=" in word and context is not None and (meant := corrected(context.command)) is not None:
        return meant.line
    words = typed_words() if word in typed_words() else ["train", word]
    position = words.index(word)
    return shlex.join(["ocrctl", *words[:position], "--set" if "=" in word else "-d", *words[position:]])
