"""The `ocrctl` command: its subcommands, and the exit code and message of every error."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import warnings
from collections.abc import Mapping
from shutil import get_terminal_size
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from ocrctl.cli import command_line, console
from ocrctl.cli.lazy import LazyGroup, Member
from ocrctl.errors import InputError, OcrctlError, ResumableStop, UnknownSetting
from ocrctl.shell import VARIABLES, termination_signals

if TYPE_CHECKING:
    from typer._click import Context


class Commands(LazyGroup):
    """The commands, in the order of a project."""

    members: Mapping[str, Member] = {
        "train": "ocrctl.cli.train:train",
        "eval": "ocrctl.cli.eval:evaluate",
        "predict": "ocrctl.cli.predict:predict",
        "export": "ocrctl.cli.export:export",
        "dataset": "ocrctl.cli.dataset:app",
        "lmdb": "ocrctl.cli.lmdb:app",
        "diagnose": "ocrctl.cli.diagnose:app",
        "import-timing": "ocrctl.cli.import_timing:import_timing",
        "profile": "ocrctl.cli.profile:app",
        "model": "ocrctl.cli.model:app",
        "runs": "ocrctl.cli.runs:app",
    }
    aliases: Mapping[str, Member] = {"diagnose-cuda": "ocrctl.cli.diagnose:cuda"}  # typed as one word

    def invoke(self, ctx: Context) -> Any:
        """Run the command; Ctrl-C prints a message, which Typer does not."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise typer.Exit(_interrupted(stop)) from stop
        except EOFError as error:  # of a library, on a truncated file; Typer would treat it as Ctrl-D
            raise RuntimeError(f"EOFError: {error}") from error


app = typer.Typer(
    name="ocrctl",
    cls=Commands,
    help="Train, evaluate, export and run OCR models, from annotated images to a verified ONNX file.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # every command below inherits it
)


def _version(value: bool) -> None:
    if value:
        from ocrctl import __version__

        console.write(f"ocrctl {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every failure ends as one sentence and an exit code of docs/reference/exit-codes.md."""
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, console.PipeSafeStream(sys.stderr))
    _catch_signals()
    sys.exit(run())


def _catch_signals() -> None:
    """Make the first SIGTERM, SIGHUP or SIGUSR1 end the command as Ctrl-C does, with its number; the next ends the
    process at once. A forked worker ends at once."""
    if threading.current_thread() is not threading.main_thread():
        return
    process, numbers = os.getpid(), termination_signals()

    def stop(number: int, frame: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, signal.SIG_DFL)
        if os.getpid() != process:
            signal.raise_signal(number)
        raise KeyboardInterrupt(number)

    for number in numbers:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)


def _interrupted(stop: KeyboardInterrupt) -> int:
    """Print which signal ended the command; return its exit code.

    One of the processes of `train --devices` prints nothing, unless it is the first: torchrun's agent ends the others
    when one has failed, whose error is printed.
    """
    number = stop.args[0] if stop.args else signal.SIGINT
    if os.environ.get("TORCHELASTIC_RUN_ID") and os.environ.get("RANK", "0") != "0":
        return 128 + int(number)
    console.warn("interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}")
    return 128 + int(number)


def run(arguments: list[str] | None = None) -> int:
    """Run one command line in this process and return its exit code."""
    debug = os.environ.get("OCRCTL_DEBUG") == "1"
    # A shell's `>&-` closes them: output is then discarded.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if command_line.completing():
        return _complete(arguments, debug)
    warnings.showwarning = console.show_warning
    console.set_guard(False)  # of the command line before, in a process that runs several
    try:
        # Typer never goes below 50 columns by itself; narrower terminals would break its lines anywhere.
        width = max(20, min(100, get_terminal_size().columns)) - 2
        command_line.remember(sys.argv[1:] if arguments is None else arguments)
        _check_environment(command_line.typed_words())
        if {"--show-completion", "--install-completion"} & set(command_line.typed_words()):
            from ocrctl.cli.completion import register

            register()
        code = app(arguments, prog_name="ocrctl", standalone_mode=False, terminal_width=width)
        with console.ignoring_closed_pipe():
            console.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        return _closed_pipe()
    except SystemExit as stop:  # Typer turns a closed pipe into exit 1, which here means that a check found something
        if isinstance(stop.__context__, BrokenPipeError):
            return _closed_pipe()
        raise
    except OcrctlError as error:
        if isinstance(error, UnknownSetting):
            _suggest_setting(error)
        if debug:
            console.report_traceback(error)
        return console.report_error(error)
    except typer.TyperException as error:
        return _usage(error)
    except typer.Abort:
        console.warn("aborted")
        return 130
    except KeyboardInterrupt as stop:
        return _interrupted(stop)
    except Exception as error:
        if debug:
            console.report_traceback(error)
        known = _system_error(error) or _shortage_error(error)
        return console.report_bug(error, traced=debug) if known is None else console.report_error(known)


def _complete(arguments: list[str] | None, debug: bool) -> int:
    """Answer a shell that completes a word. Neither errors nor Ctrl-C print into the line being typed."""
    try:
        from typer.main import get_command

        command = get_command(app)  # registers Typer's own classes, which `register` replaces
        from ocrctl.cli.completion import register

        register()
        command(arguments, prog_name="ocrctl", standalone_mode=False)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            console.report_traceback(error)
        return 1
    return 0


def _check_environment(words: list[str]) -> None:
    """Raise UsageError for a misspelt OCRCTL_* variable; help pages skip the check and stay fast."""
    odd = any(name.startswith("OCRCTL_") and name not in VARIABLES for name in os.environ)
    if odd and words and not {"-h", "--help", "--version"} & set(words):
        from ocrctl.config.load import check_environment

        check_environment(os.environ)


def _system_error(error: Exception) -> OcrctlError | None:
    """Return the error for what the operating system refused and no module handles itself: no permission, an invalid
    path, a full disk."""
    if not isinstance(error, OSError):
        return None
    from ocrctl.files.regular import UnreadableFile

    if isinstance(error, UnreadableFile):
        return InputError(f"{error.filename}: cannot be read ({error.strerror}).")
    path = error.filename if isinstance(error.filename, str) else "the output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResumableStop(f"{path}: the disk is full.", hint="free some space and run the command again")
    if error.errno == errno.EIO:  # a failing disk, or a file that only looks like one, as some below /proc do
        path = error.filename if isinstance(error.filename, str) else "a file"
        return InputError(f"{path}: the system could not read or write it (input/output error).")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP):
        return InputError(f"{path}: {(error.strerror or 'cannot be used').lower()}.")
    return None


_LESS = ("--batch-size", "--jobs", "--threads")  # options that make a command take less memory, with the value 1


def _shortage_error(error: Exception) -> OcrctlError | None:
    """Return the error for a missing resource, with the options of the command that need less; None for other errors.
    Training reports it itself, with its settings."""
    from ocrctl import shortages

    if (found := shortages.find_shortage(error)) is None:
        return None
    lack, error_below = found
    options = [f"{option} 1" for option in _LESS if option in _options_of_command()]
    if lack is shortages.FILES:
        hint = "raise the limit and run the command again"
    elif lack in (shortages.PROCESSES, shortages.DEAD_WORKER, shortages.SHARED):
        options = [option for option in options if "batch" not in option]
        hint = f"run the command again with {', '.join([*options, 'fewer other processes'])}"
    elif lack is shortages.LIBRARIES:
        hint = "run the command again with a higher memory limit (ulimit -v, or the container's)"
    else:
        hint = (
            f"run the command again with {', '.join([*options, 'smaller images'])}, a smaller model or page side "
            "(page.side of its training), or a higher memory limit"
        )
    return ResumableStop(f"{lack.sentence}: {shortages.reason_of(error_below)}", hint=hint)


def _options_of_command() -> set[str]:
    """Return the option names of the command that was typed."""
    from typer.main import get_command

    command = get_command(app)
    context = typer.Context(command)
    for word in command_line.typed_words():
        if (find := getattr(command, "get_command", None)) is None or (found := find(context, word)) is None:
            break
        command = found
    return {option for one in command.params for option in one.opts}


def _closed_pipe() -> int:
    """Exit 0 when the reader (`| head`) closes the pipe, without an error from the interpreter's flush at exit."""
    console.discard_stdout()
    return 0


def _usage(error: typer.TyperException) -> int:
    from typer._click.exceptions import NoArgsIsHelpError

    if isinstance(error, NoArgsIsHelpError):
        console.write_help(error.format_message())
        return 2
    show = getattr(error, "format_message", None)
    message = (show() if show else str(error)).partition(" (Possible option")[0]  # its guesses are often far off
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help" if context is not None else None
    if context is not None:
        from ocrctl.cli.corrections import corrected, explained, misspelt, named

        if (meant := corrected(context.command)) is not None:
            message, hint = explained(message, meant.meaning), meant.line
        elif (option := named(context.command, getattr(error, "option_name", None) or "")) is not None:
            message = explained(message, option)
        elif (near := misspelt(context.command, getattr(error, "option_name", None) or "")) is not None:
            message, hint = f"{message.rstrip('.')}. Did you mean {near.meaning}?", near.line
    console.warn(f"error: {message}")
    if hint is not None:
        console.warn(f"hint: {hint}")
    return 2


def _suggest_setting(error: UnknownSetting) -> None:
    """Set the hint of a misnamed `--set` to the whole command line with the right name."""
    from ocrctl.cli.corrections import corrected

    if (meant := corrected(None)) is not None:
        error.hint = meant.line


if __name__ == "__main__":
    main()
