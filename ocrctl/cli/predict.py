"""`ocrctl predict`: recognise words, detect text on pages, or both."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.command_line import typed_words
from ocrctl.cli.early import check_models, check_texts, none_read, refuse_missing_inputs
from ocrctl.cli.help import MODEL, OUTPUT, RUNTIME
from ocrctl.cli.options import (
    Allowlist,
    Decoding,
    Device,
    Jobs,
    Json,
    Lexicon,
    Ngram,
    NgramWeight,
    Plugins,
    Quiet,
    SpreadsheetSafe,
    Threads,
)
from ocrctl.cli.progress import ProgressBar
from ocrctl.cli.report import check_report, write_report
from ocrctl.errors import counted

PredictReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write counts, speed and unreadable inputs: FILE.html, a self-contained page, or FILE.json.",
        rich_help_panel=OUTPUT,
    ),
]

MANY = 4  # inputs above which a suggested command does not repeat them

if TYPE_CHECKING:
    from ocrctl.core.predict.run import PredictReport
    from ocrctl.inference.writers.prediction import LineWriter, Prediction


def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Image files, folders, quoted globs, LMDBs, JSON label files (their images), or - for paths on stdin.",
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="Checkpoint, ONNX file, export bundle, run folder or default:NAME. A detector and a recogniser, in "
            "any order, read pages. Default: default:det and default:rec-latin.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    fmt: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Output format. Words: tsv (default), csv, text, jsonl, rec_gt. Pages: jsonl (default), text, tsv, "
            "csv; with -o also txt (boxes), submission, overlay, or a page format such as paddleocr-det.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="Write DIR/predictions.* and the files of pages instead of printing to stdout.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    device: Device = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            max=1 << 20,
            help="Images per forward pass. Default: 64 words, 1 page; with two models: pages.",
            rich_help_panel=RUNTIME,
        ),
    ] = None,
    jobs: Jobs = None,
    threads: Threads = None,
    decoding: Decoding = None,
    lexicon: Lexicon = None,
    ngram: Ngram = None,
    ngram_weight: NgramWeight = None,
    allowlist: Allowlist = None,
    polygons: Annotated[
        bool,
        typer.Option(
            "--polygons", help="Detect polygons instead of rotated rectangles on pages.", rich_help_panel=MODEL
        ),
    ] = False,
    characters: Annotated[
        bool,
        typer.Option(
            "--characters",
            help="Add the confidence and position of each character to jsonl, and the positions to overlay.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Draw where the recogniser looked for each character into DIR/explain: sampling points or attention "
            "over the image. Requires -o and the checkpoint of a model with attention.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    report: PredictReportFile = None,
    guard: SpreadsheetSafe = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read pages with a detector and a recogniser, detect text on pages, or recognise word images.

    Without -m the models that come with ocrctl read pages of Latin text. Unreadable images are listed on stderr: exit
    1, or 3 when no image is readable.

    \b
    Examples:
      ocrctl predict photo.jpg --format text
      ocrctl predict words/*.png -m default:rec-latin
      ocrctl predict scans -m runs/dbnet -m runs/crnn -o out --format overlay
      find . -name '*.jpg' | ocrctl predict - -m models/crnn.onnx --json
    """
    from ocrctl.runtime import keep_memory, share_cores

    share_cores()
    keep_memory()
    check_report(report)  # before models and images are looked for
    check_models(models or ())
    check_texts(lexicon, ngram)
    if report is None:
        refuse_missing_inputs(inputs)
    from ocrctl.core.predict.run import PredictOptions
    from ocrctl.core.predict.run import predict as run
    from ocrctl.errors import InputError, UsageError
    from ocrctl.inference import decoding as how
    from ocrctl.inference.writers import word_formats
    from ocrctl.inference.writers.prediction import PagePrediction, Unreadable
    from ocrctl.inference.writers.select import TXT, line_writer

    if as_json and out is None and fmt not in (None, word_formats.JSONL.name):
        raise UsageError(f"--json and --format {fmt} cannot be combined on stdout; drop one, or write to -o DIR.")
    if characters:
        fmt = fmt or word_formats.JSONL.name
    on_stdout = out is None or as_json
    writer: LineWriter | None = None
    totals = _count_images(inputs)
    done = 0

    def emit(result: Prediction | PagePrediction | Unreadable) -> None:
        nonlocal writer, done
        if isinstance(result, Unreadable):
            console.warn(f"unreadable: {result.error}")
        elif on_stdout:
            if writer is None:  # at the first result: an error before it leaves stdout empty
                page = isinstance(result, PagePrediction)
                reads = not isinstance(result, PagePrediction) or result.words is not None
                writer = line_writer(word_formats.JSONL.name if as_json else fmt, page, reads, guard)
                if writer.header:
                    console.write_lines(writer.header)
            console.write_lines(writer.line(result))
            sys.stdout.flush()  # a reader at the other end of a pipe waits for each line
        done += 1
        progress(done, next(totals))

    options = PredictOptions(
        models or (),
        inputs,
        fmt,
        out,
        device,
        batch_size,
        jobs,
        threads,
        how.Decoding.parse(decoding, lexicon, ngram, ngram_weight, allowlist),
        polygons,
        guard,
        characters,
        explain,
    )
    try:
        with ProgressBar("images") as progress:
            result = run(options, getattr(sys.stdin, "buffer", None), emit)  # a closed stdin is None
    except KeyboardInterrupt:
        left = ("predictions.*.part", "overlay.partial", "explain.partial") if out is not None else ()
        for part in sorted(path for name in left for path in out.glob(name)) if out is not None else ():
            console.note(f"results so far: {part}")
        raise
    if result.note:
        console.note(f"note: {result.note}")
    if result.skipped_note:
        console.note(f"note: {result.skipped_note}")
    for what, count in result.lost.items():
        console.note(f"lost: {what} ({count:,})")
    console.note(_summary(result))
    if result.explained is not None:
        console.note(f"explanations: {result.explained}")
    if fmt == TXT and result.boxes is None:
        console.note("note: for word images --format txt is now called text")
    if not models and 2 * result.word_sized > result.read:
        console.note(
            f"note: {_of_all(result.word_sized, result.read)} as small as word images, and read as "
            f"{'a page' if result.read == 1 else 'pages'}; read each as one word: {_again(inputs, 'default:rec-latin')}"
        )
    if models and 2 * result.page_sized > result.read:
        console.note(
            f"note: {_of_all(result.page_sized, result.read)} as large as a page, and read as one word; to read pages, "
            f"add a detector: {_again(inputs, 'default:det', models)}"
        )
    if result.nothing:
        console.warn(f"warning: {result.nothing}: the recogniser reads nothing.")
    if report is not None:
        from ocrctl.core.predict.report import write_page

        write_report(report, result, lambda path: write_page(path, result))
    if result.read == 0:
        raise InputError(none_read(len(result.unreadable)) if result.unreadable else "no input given.")
    if result.unreadable:
        raise typer.Exit(1)


def _of_all(count: int, read: int) -> str:
    """Return `the image is` or `3 of 4 images are`."""
    return "the image is" if read == 1 else f"{count} of {read} images are"


def _again(inputs: list[str], model: str, models: list[str] | None = None) -> str:
    """Return the command line as typed with `model` added, and with many inputs left out."""
    words = typed_words()
    if len(inputs) > MANY:
        words = ["predict", "INPUT...", *(word for one in models or () for word in ("-m", one))]
    return shlex.join(["ocrctl", *words, "-m", model])


def _summary(result: PredictReport) -> str:
    """Return counts and speed in one line: images/s, or seconds/image below one a second; nothing of what was not
    read."""
    parts = [f"{result.read} read", f"{len(result.unreadable)} unreadable"]
    if result.read:
        counts = ((result.boxes, "box", "boxes"), (result.words, "word", "words"))
        parts += [counted(count, one, many) for count, one, many in counts if count is not None]
        rate = result.images_per_second
        parts.append(f"{rate:.3g} images/s" if rate >= 1 or not rate else f"{1 / rate:.3g} seconds/image")
    return f"{', '.join(parts)} ({result.backend} on {result.device}){f' -> {result.out}' if result.out else ''}"


def _count_images(inputs: list[str]) -> Iterator[int | None]:
    """Yield the number of images in `inputs` once a thread has counted them, None before and for paths on stdin."""
    import threading

    from ocrctl.inference.inputs import iter_images

    found: list[int] = []
    if "-" not in inputs and console.live():
        threading.Thread(target=lambda: found.append(sum(1 for _ in iter_images(inputs, None))), daemon=True).start()
    while True:
        yield found[0] if found else None
