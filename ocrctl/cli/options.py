"""Options that several commands share, with the same name and help everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli.console import set_guard, set_quiet
from ocrctl.cli.help import INPUTS, MODEL, OUTPUT, RUNTIME
from ocrctl.shell import shell_quote


def _quiet(value: bool) -> bool:
    set_quiet(value)
    return value


def _guard(value: bool) -> bool:
    set_guard(value)
    return value


def _plugged(context: typer.Context, files: list[Path] | None) -> list[Path] | None:
    if files and not context.resilient_parsing:
        from ocrctl.config.plugins import use_plugins

        context.with_resource(use_plugins(files))
    return files


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object; a stream prints JSON lines.", rich_help_panel=OUTPUT)
]
Quiet = Annotated[
    bool,
    typer.Option("-q", "--quiet", callback=_quiet, help="Print only results and errors.", rich_help_panel=OUTPUT),
]
SpreadsheetSafe = Annotated[
    bool,
    typer.Option(
        "--spreadsheet-safe",
        callback=_guard,
        help="Put ' before cells that a spreadsheet would compute as formulas (=, +, -, @).",
        rich_help_panel=OUTPUT,
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "-d",
        "--data",
        metavar="SPEC",
        help="Dataset: a path, FORMAT:PATH, synth:words or synth:pages. Repeatable.",
        rich_help_panel=INPUTS,
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--profile",
        metavar="PROFILE",
        help="Profile name or TOML file; later ones win. Repeatable.",
        rich_help_panel=INPUTS,
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="K=V", help="Set a setting, such as train.lr=1e-3. Repeatable.", rich_help_panel=INPUTS
    ),
]
Charset = Annotated[
    str | None,
    typer.Option(
        "--charset",
        metavar="FILE",
        help="Charset file, or a built-in charset: digits, lower36, ascii94, ascii95 (with space) or latin.",
        rich_help_panel=MODEL,
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        callback=_plugged,
        envvar="OCRCTL_PLUGIN",
        help="Python file with a format or model of your own. Repeatable.",
        rich_help_panel=INPUTS,
    ),
]


def plugin_flags(files: list[Path] | None) -> str:
    """Return the `--plugin` options of this command, for the command that it suggests next."""
    return "".join(f" --plugin {shell_quote(file)}" for file in files or ())


def predict_command(model: object, task: str, files: list[Path] | None) -> str:
    """Return the `predict` to suggest for a model; one alone reads images of single words, or finds text on pages."""
    images = "WORD_IMAGES" if task == "recognition" else "PAGES"
    return f"ocrctl predict {images} -m {shell_quote(str(model))}{plugin_flags(files)}"


Decoding = Annotated[
    str | None,
    typer.Option(
        "--decoding",
        metavar="greedy|beam[:WIDTH]|ar|nar",
        help="Decoding of a recogniser: greedy, a beam search, or of an autoregressive one ar, character by character, "
        "or nar, all characters at once. Default: greedy, as the model was trained; with an n-gram model beam:5.",
        rich_help_panel=MODEL,
    ),
]
GraphDecoding = Annotated[
    str | None,
    typer.Option(
        "--decoding",
        metavar="ar|nar",
        help="Decoding of an autoregressive recogniser: ar, character by character, or nar, all characters at once. "
        "Default: the model's.",
        rich_help_panel=MODEL,
    ),
]
Lexicon = Annotated[
    Path | None,
    typer.Option(
        "--lexicon",
        metavar="FILE",
        help="Read only words of this file, one a line. Uses a beam search.",
        rich_help_panel=MODEL,
    ),
]
Ngram = Annotated[
    list[str] | None,
    typer.Option(
        "--ngram",
        metavar="SOURCE",
        help="Also rank the candidates of a beam search by a character n-gram model of texts: english (a word list), a "
        "file with one text a line, or the labels of a SPEC. Repeatable. none: without that of the model.",
        rich_help_panel=MODEL,
    ),
]
NgramWeight = Annotated[
    float | None,
    typer.Option(
        "--ngram-weight",
        metavar="X",
        help="Weight of the n-gram model's log probability. Default: the model's, or 0.3.",
        rich_help_panel=MODEL,
    ),
]
Allowlist = Annotated[
    str | None,
    typer.Option(
        "--allowlist",
        metavar="CHARSET",
        help="Read only these characters: digits, lower36, ascii94, ascii95, latin or a charset file. Default: all "
        "characters of the model.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda[:I]",
        help="Device of the model; exit 4 if CUDA is named and unusable.",
        rich_help_panel=RUNTIME,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", min=1, max=1 << 20, help="Images per forward pass.", rich_help_panel=RUNTIME),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=0,
        help="Threads that decode images ahead. Default: half the cores, 8 at most.",
        rich_help_panel=RUNTIME,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=1024, help="CPU threads of the model. Default: all cores.", rich_help_panel=RUNTIME
    ),
]
