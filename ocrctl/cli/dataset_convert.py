"""`ocrctl dataset convert|split|crop`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.options import Json, Plugins, Quiet, plugin_flags
from ocrctl.cli.pairs import number_pairs
from ocrctl.cli.progress import ProgressBar
from ocrctl.errors import UsageError
from ocrctl.shell import shell_quote

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="Annotated pages: a path, or FORMAT:PATH.")]
AllowOutside = Annotated[
    bool,
    typer.Option("--allow-outside", help="Copy images that lie outside the set, such as absolute paths and links."),
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="New or empty folder; it appears once it is whole.")]


def convert(
    spec: Spec,
    out: Out,
    format_name: Annotated[
        str, typer.Option("--format", metavar="F", help="Format to write (docs/reference/formats.md).")
    ],
    labels_only: Annotated[bool, typer.Option("--labels-only", help="Do not copy the pictures.")] = False,
    allow_outside: AllowOutside = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a data set in another format, and say what that format cannot hold."""
    from ocrctl.core.dataset.convert import convert as rewrite

    report = rewrite(spec, out, format_name, copy=not labels_only, allow_outside=allow_outside)
    if as_json:
        console.write_json(report)
    else:
        for what, count in report.lost.items():
            console.write(f"lost: {what} ({count:,})")
        for place in report.missing:
            console.write(f"not copied: {place}")
    console.note(f"{report.images:,} pictures, {report.instances:,} instances -> {report.out}")
    if not report.missing:
        console.suggest(f"ocrctl dataset validate {shell_quote(out)}{plugin_flags(plugin)}")


def split(
    spec: Spec,
    out: Out,
    parts: Annotated[
        list[str] | None,
        typer.Option(
            "--part",
            metavar="NAME=SHARE",
            help="A part and its share: train=0.8 or train=8 beside val=2. Default: train=0.9, val=0.1.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="REGEX", help="Pictures whose match (first group) is equal stay together."),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="Fixed: the pictures named there are the second of two parts."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed parts otherwise.")] = 0,
    format_name: Annotated[
        str | None, typer.Option("--format", metavar="F", help="Format to write (default: that of SPEC).")
    ] = None,
    allow_outside: AllowOutside = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Part a data set by picture: groups stay together, lengths of texts are spread alike."""
    from ocrctl.core.dataset.split import split as part

    parts = parts or ["train=0.9", "val=0.1"]
    shares = number_pairs(parts, "--part", "NAME=SHARE, such as val=0.1")
    if len(shares) < len(parts):
        raise UsageError(f"--part: {' '.join(parts)}: a name stands there twice.")
    with ProgressBar("pictures") as progress:
        report = part(
            spec,
            out,
            shares,
            seed=seed,
            group=group,
            listed=listed,
            format_name=format_name,
            allow_outside=allow_outside,
            progress=progress,
        )
    if as_json:
        console.write_json(report)
    else:
        console.table(
            ("part", "pictures", "instances", "folder"),
            [(name, written.images, written.instances, written.out) for name, written in report.parts.items()],
        )
    if report.joined:
        console.note(f"{report.joined:,} groups go with another one, because they hold the same picture")
    first, second = (shell_quote(out / name) for name in list(shares)[:2])
    console.suggest(f"ocrctl dataset validate {first}{plugin_flags(plugin)} --against {second}")


def crop(
    spec: Spec,
    out: Out,
    format_name: Annotated[str, typer.Option("--format", metavar="F", help="Format of word images to write.")] = "lmdb",
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut the words out of annotated pages, straightened: an LMDB to train a recogniser on."""
    from ocrctl.core.dataset.crop import crop_words

    with ProgressBar("pictures") as progress:
        report = crop_words(spec, out, format_name, progress)
    if as_json:
        console.write_json(report)
    else:
        console.table(("name", "count"), [("words", report.words), *((why, n) for why, n in report.skipped.items())])
    console.suggest(f"ocrctl train -d {shell_quote(out)}")
