"""`ocrctl train`: flags in, a run folder and a result out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.command_line import typed_words
from ocrctl.cli.options import Data, Json, Plugins, Profiles, Quiet, Sets, plugin_flags
from ocrctl.errors import InputError, UsageError
from ocrctl.shell import shell_quote

if TYPE_CHECKING:
    from ocrctl.config.settings import Settings
    from ocrctl.core.train.result import TrainResult


def train(
    arch: Annotated[
        str | None,
        typer.Argument(metavar="ARCH", help="Architecture: see `ocrctl model list`. Default: the profile's."),
    ] = None,
    data: Data = None,
    val: Annotated[
        str | None,
        typer.Option("--val", metavar="SPEC", help="Validation data. Default: 5 % of the data, held out by image."),
    ] = None,
    profile: Profiles = None,
    sets: Sets = None,
    init: Annotated[
        str | None, typer.Option("--from", metavar="MODEL", help="Start from the weights of a checkpoint or run.")
    ] = None,
    charset: Annotated[
        str | None, typer.Option("--charset", metavar="FILE", help="Charset file, or a built-in: lower36, ascii94 ...")
    ] = None,
    unknown_chars: Annotated[
        str | None,
        typer.Option("--unknown-chars", metavar="refuse|skip", help="Labels with characters outside the charset."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RUN", help="Run folder. Default: runs/<date>-<arch>.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the run at -o; where there is none, start it on the data named."),
    ] = False,
    devices: Annotated[
        int | None, typer.Option("--devices", metavar="N", help="Number of GPUs: 1, more are refused so far.")
    ] = None,
    fast_dev_run: Annotated[
        bool, typer.Option("--fast-dev-run", help="Three steps and one small validation, to see that all parts work.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say how much memory a step will take, by part; train nothing.")
    ] = False,
    preflight: Annotated[
        bool,
        typer.Option(
            "--preflight",
            help="First check that labels fit, gradient reaches every parameter and one batch can be overfitted; "
            "exit 1 if not.",
        ),
    ] = False,
    debug_cuda: Annotated[
        bool, typer.Option("--debug-cuda", help="Wait for every CUDA kernel, so that errors name their line (slow).")
    ] = False,
    plugin: Plugins = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a recogniser or a detector.

    Without -d it trains on synth:words or synth:pages, endless streams of rendered pictures. Settings people script
    against: train.max_steps, train.max_epochs, train.max_minutes, train.lr, train.batch_size, train.accumulate,
    train.precision, data.workers; `ocrctl profile check --settings` lists all. Exit codes: 5 stopped but resumable,
    129/130/138/143 stopped by SIGHUP, Ctrl-C, SIGUSR1 or SIGTERM after saving.
    """
    from ocrctl.models.registry import specs

    if arch is not None and arch not in specs() and ("=" in arch or "/" in arch or Path(arch).exists()):
        raise UsageError(f"{arch!r} stands where an architecture is expected.", hint=_corrected(arch))

    from ocrctl.core.train.run import TrainRequest, load_train_settings
    from ocrctl.core.train.run import train as run_training

    flags = {
        "arch": arch,
        "train": {"devices": devices},
        "data": {"train": data, "val": val, "charset": charset, "unknown_chars": unknown_chars},
        "model": {"init": init},
    }
    goes_on = resume and out is not None and (out / "config.toml").exists()
    settings = load_train_settings(profile, sets or [], flags, use_variables=not goes_on)
    if estimate:
        _estimate(settings, json)
        return
    request = TrainRequest(settings, out, resume, fast_dev_run, preflight, debug_cuda)
    try:
        result = run_training(request, console.note)
    except InputError as error:
        raise _refused(error, goes_on, plugin) from error
    with console.to_the_end():
        _report(result, json)
    if result.stopped_by_signal is not None:
        console.suggest(f"ocrctl train --resume -o {shell_quote(result.run)}{plugin_flags(plugin)}")
        raise typer.Exit(128 + result.stopped_by_signal)
    if fast_dev_run:
        console.suggest(_without_trial())
        return
    run = shell_quote(result.run)
    if result.unread:
        console.warn(f"warning: the model {result.unread} after {result.steps:,} steps.")
        console.warn(
            f"hint: a new model passes through this in its first few hundred steps: train longer (train.max_steps); "
            f"{run}/previews shows samples, and --preflight says whether the model can learn this data"
        )
        console.suggest(f"ocrctl train -p {run}/config.toml --preflight --fast-dev-run{plugin_flags(plugin)}")
        return
    measure = f"eval {run} -d {shell_quote(result.eval_spec)}" if result.eval_spec else None
    console.suggest(f"ocrctl {measure or f'export {run} -o {run}/export'}{plugin_flags(plugin)}")


def _report(result: TrainResult, json: bool) -> None:
    if json:
        console.write_json(result)
        return
    console.write(f"run: {result.run}")
    console.write(f"steps: {result.steps} in {result.seconds:.0f} s")
    for goal in ("exact", "hmean"):
        if f"val_{goal}" in result.last:
            best = f"best {result.best_accuracy:.1%} at step {result.best_step}"
            console.write(f"val {goal}: {result.last[f'val_{goal}']:.1%} ({best})")


def _without_trial() -> str:
    """The command line as typed, without what made it a trial of three steps and without its run folder."""
    words, kept = iter(typed_words()), []
    for word in words:
        if word in ("-o", "--out"):
            next(words, None)
        elif word not in ("--fast-dev-run", "--preflight") and not word.startswith(("--out=", "-o=")):
            kept.append(word)
    return shlex.join(["ocrctl", *kept])


def _refused(error: InputError, goes_on: bool, plugin: list[Path] | None) -> InputError:
    """The error with the whole command line that would work as its hint; a run that goes on keeps its charset and
    width, so nothing is suggested for it."""
    from ocrctl.core.train.data_errors import TrainingDataError

    if isinstance(error, TrainingDataError) and error.fix is not None:
        error.hint = None if goes_on else error.fix.command(typed_words(), plugin_flags(plugin))
    return error


def _estimate(settings: Settings, json: bool) -> None:
    """Memory of one step by part, in MiB, or in bytes with --json."""
    from dataclasses import fields

    from ocrctl.core.train.estimate import estimate

    result = estimate(settings)
    if json:
        console.write_json(result)
        return
    rows = [(part.name, f"{getattr(result.memory, part.name) / 2**20:.0f}") for part in fields(result.memory)]
    console.table(["part", "MiB"], [*rows, ("total", f"{result.total / 2**20:.0f}")])
    size = f"batch {result.batch_size} of {result.height}x{result.width}"
    console.note(f"{result.arch}, {size}, {result.precision} on {result.device}")


def _corrected(word: str) -> str:
    """The command line as typed, with the option that `word` lacks put before it, and names that other tools use as the
    settings that they mean."""
    from typer._click.globals import get_current_context

    from ocrctl.cli.habits import corrected

    context = get_current_context(silent=True)
    if "=" in word and context is not None and (meant := corrected(context.command)) is not None:
        return meant.line
    words = typed_words() if word in typed_words() else ["train", word]
    place = words.index(word)
    return shlex.join(["ocrctl", *words[:place], "--set" if "=" in word else "-d", *words[place:]])
