"""`ocrctl predict`: the text of pictures, where on them there is text, or both."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.options import Decoding, Device, Jobs, Json, Plugins, Quiet, SpreadsheetSafe, Threads
from ocrctl.cli.progress import ProgressBar
from ocrctl.cli.report import check_report, write_report
from ocrctl.shell import termination_signals

PredictReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write counts, speed and unreadable inputs: FILE.html, a self-contained page, or FILE.json.",
    ),
]

if TYPE_CHECKING:
    from ocrctl.inference.writers.choose import Writer
    from ocrctl.inference.writers.prediction import Prediction


def predict(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Image files, folders, quoted globs, LMDBs, JSON label files (their images), or - for paths on stdin.",
        ),
    ],
    models: Annotated[
        list[str],
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="Checkpoint, ONNX file, export bundle or run folder. Twice, a detector and a recogniser: reads pages.",
        ),
    ],
    fmt: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Words: tsv (default), csv, txt, jsonl, rec_gt. Pages: jsonl (default), tsv, csv; with -o txt, "
            "submission, overlay, or a format of pages such as paddleocr-det.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Write DIR/predictions.*, and files of pages, not to stdout."),
    ] = None,
    device: Device = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            max=1 << 20,
            help="Pictures per forward pass (default: 64 words, 1 page). With two models: pages.",
        ),
    ] = None,
    jobs: Jobs = None,
    threads: Threads = None,
    decoding: Decoding = None,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="On pages: outlines of any form instead of turned rectangles.")
    ] = False,
    report: PredictReportFile = None,
    guard: SpreadsheetSafe = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read words, with a detector find text on pages, or with both models read pages.

    Unreadable pictures are named on stderr: exit 1, or 3 when none was readable.
    """
    from ocrctl.inference.devices import keep_memory, share_cores

    share_cores()
    keep_memory()
    from ocrctl.core.predict.run import PredictOptions
    from ocrctl.core.predict.run import predict as run
    from ocrctl.errors import InputError, UsageError
    from ocrctl.inference.writers import jsonl
    from ocrctl.inference.writers.choose import line_writer
    from ocrctl.inference.writers.prediction import PagePrediction, Unreadable

    if as_json and out is None and fmt not in (None, jsonl.NAME):
        raise UsageError(f"--json prints JSON lines, --format {fmt} something else; drop one, or write to -o DIR.")
    check_report(report)
    on_stdout = out is None or as_json
    writer: Writer | None = None
    totals = _count_images(inputs)
    done = 0

    def emit(result: Prediction | PagePrediction | Unreadable) -> None:
        nonlocal writer, done
        if isinstance(result, Unreadable):
            console.warn(f"unreadable: {result.error}")
        elif on_stdout:
            if writer is None:  # with the first result, so that an error before it leaves stdout empty
                page = isinstance(result, PagePrediction)
                reads = not isinstance(result, PagePrediction) or result.words is not None
                writer = line_writer(jsonl.NAME if as_json else fmt, page, reads, guard)
                if writer.HEADER:
                    console.write_lines(writer.HEADER)
            console.write_lines(writer.line(result))
            sys.stdout.flush()  # a reader at the other end of a pipe waits for each line
        done += 1
        progress(done, next(totals))

    options = PredictOptions(models, inputs, fmt, out, device, batch_size, jobs, threads, decoding, polygons, guard)
    before = {number: signal.signal(number, lambda got, frame: sys.exit(128 + got)) for number in termination_signals()}
    try:
        with ProgressBar("images") as progress:
            result = run(options, getattr(sys.stdin, "buffer", None), emit)  # a closed stdin is None
    except (KeyboardInterrupt, SystemExit):
        for part in sorted([*out.glob("predictions.*.part"), *out.glob("overlay.partial")]) if out is not None else ():
            console.note(f"what was read so far is in {part}")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if result.note:
        console.note(f"note: {result.note}")
    if result.skipped_note:
        console.note(f"note: {result.skipped_note}")
    for what, count in result.lost.items():
        console.note(f"lost: {what} ({count:,})")
    boxes = "" if result.boxes is None else f"{result.boxes} boxes, "
    boxes += "" if result.words is None else f"{result.words} words, "
    place = f" -> {result.out}" if result.out else ""
    console.note(
        f"{result.read} read, {len(result.unreadable)} unreadable, {boxes}{result.images_per_second:.3g} images/s "
        f"({result.backend} on {result.device}){place}"
    )
    if report is not None:
        from ocrctl.core.predict.report import write_page

        write_report(report, result, lambda path: write_page(path, result))
    if result.read == 0:
        raise InputError(
            f"none of the {len(result.unreadable)} inputs could be read." if result.unreadable else "no input given."
        )
    if result.unreadable:
        raise typer.Exit(1)


def _count_images(inputs: list[str]) -> Iterator[int | None]:
    """How many images `inputs` hold, once they are counted beside the reading, which does not wait for it; None before,
    and of paths that arrive on stdin."""
    import threading

    from ocrctl.inference.inputs import pictures

    found: list[int] = []
    if "-" not in inputs and console.live():
        threading.Thread(target=lambda: found.append(sum(1 for _ in pictures(inputs, None))), daemon=True).start()
    while True:
        yield found[0] if found else None
