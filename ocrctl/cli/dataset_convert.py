"""`ocrctl dataset convert|split|crop`: write a dataset in another format, in parts, or as word images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.help import INPUTS, OUTPUT
from ocrctl.cli.options import Json, Plugins, Quiet, plugin_flags
from ocrctl.cli.pairs import number_pairs
from ocrctl.cli.progress import ProgressBar
from ocrctl.errors import UsageError, counted
from ocrctl.shell import shell_quote

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="Annotated pages: a path, or FORMAT:PATH.")]
AllowOutside = Annotated[
    bool,
    typer.Option(
        "--allow-outside",
        help="Copy images outside the dataset's folder: absolute paths and links.",
        rich_help_panel=INPUTS,
    ),
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="New or empty folder; it appears once it is complete.")]


def convert(
    spec: Spec,
    out: Out,
    format_name: Annotated[
        str,
        typer.Option(
            "--format", metavar="F", help="Format to write (docs/reference/formats.md).", rich_help_panel=OUTPUT
        ),
    ],
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="Do not copy the images.", rich_help_panel=OUTPUT)
    ] = False,
    allow_outside: AllowOutside = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Convert a dataset to another format, and list what that format cannot store.

    \b
    Examples:
      ocrctl dataset convert data/icdar15 data/paddle --format paddleocr-det
    """
    from ocrctl.core.dataset.convert import convert as rewrite

    with ProgressBar("images") as progress:
        report = rewrite(spec, out, format_name, copy=not labels_only, allow_outside=allow_outside, progress=progress)
    if as_json:
        console.write_json(report)
    else:
        for what, count in report.lost.items():
            console.write(f"lost: {what} ({count:,})")
        for image in report.missing:
            console.write(f"not copied: {image}")
    console.note(f"{counted(report.images, 'image')}, {counted(report.instances, 'instance')} -> {report.out}")
    _note_several_pages(report.several_pages)
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
            help="Name and share of a part: train=0.8, or train=8 with val=2. Repeatable. Default: train=0.9, val=0.1.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="REGEX", help="Keep images together whose paths have an equal match."),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="File of image names: the images of the second of two parts."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the split.")] = 0,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="F", help="Format to write. Default: the format of SPEC.", rich_help_panel=OUTPUT
        ),
    ] = None,
    allow_outside: AllowOutside = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Split a dataset by image; groups stay together, and text lengths are distributed alike.

    \b
    Examples:
      ocrctl dataset split data parts --part train=8 --part val=1 --part test=1
      ocrctl dataset split data/all data/parts --group '(scan_[0-9]+)_'
    """
    from ocrctl.core.dataset.split import split as split_dataset

    parts = parts or ["train=0.9", "val=0.1"]
    shares = number_pairs(parts, "--part", "NAME=SHARE, such as val=0.1")
    if len(shares) < len(parts):
        raise UsageError(f"--part: {' '.join(parts)}: a name is given twice.")
    with ProgressBar("images") as progress:
        report = split_dataset(
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
            ("part", "images", "instances", "folder"),
            [(name, written.images, written.instances, written.out) for name, written in report.parts.items()],
        )
    _note_several_pages([location for written in report.parts.values() for location in written.several_pages])
    if report.joined:
        console.note(f"{report.joined:,} groups were merged with another group because they contain the same image")
    first, second = (shell_quote(out / name) for name in list(shares)[:2])
    console.suggest(f"ocrctl dataset validate {first}{plugin_flags(plugin)} --against {second}")


def crop(
    spec: Spec,
    out: Out,
    format_name: Annotated[
        str, typer.Option("--format", metavar="F", help="Format of word images to write.", rich_help_panel=OUTPUT)
    ] = "lmdb",
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Crop and rectify the words of annotated pages, to train a recogniser on.

    \b
    Examples:
      ocrctl dataset crop data/pages data/words.lmdb
    """
    from ocrctl.core.dataset.crop import crop_words

    with ProgressBar("images") as progress:
        report = crop_words(spec, out, format_name, progress)
    if as_json:
        console.write_json(report)
    else:
        console.table(("name", "count"), [("words", report.words), *((why, n) for why, n in report.skipped.items())])
    _note_several_pages(report.several_pages)
    console.suggest(f"ocrctl train -d {shell_quote(out)}")


def _note_several_pages(locations: list[str]) -> None:
    """Report the TIFFs with several pages, if there are any."""
    from ocrctl.data.images.tiff import several_pages_note

    if note := several_pages_note(locations):
        console.note(note)
