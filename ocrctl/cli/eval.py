"""`ocrctl eval`: score recognisers, detectors and result files."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrctl.cli import console
from ocrctl.cli.early import check_models, check_specs, check_texts
from ocrctl.cli.github import GitHub, check_github, failed
from ocrctl.cli.help import INPUTS, OUTPUT, RUNTIME, SCORES
from ocrctl.cli.options import (
    Allowlist,
    Data,
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
from ocrctl.cli.report import Report, check_report, write_report
from ocrctl.errors import UsageError

if TYPE_CHECKING:
    from ocrctl.metrics.evaluation import Evaluation

UNREADABLE_SHOWN = 10


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...", help="Checkpoints, ONNX files, export bundles, run folders or default:NAME."
        ),
    ] = None,
    data: Data = None,
    truth: Annotated[
        str | None,
        typer.Option(
            "--gt",
            metavar="SPEC",
            help="Ground truth of result files: pages with polygons. Requires --pred.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    found: Annotated[
        str | None,
        typer.Option(
            "--pred",
            metavar="SPEC",
            help="Result files to score against --gt: a folder or zip of text lines, or any format.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="exact|str36|str36-nfkd|hmean|cleval",
            help="Scoring protocol; the first ranks the worst samples. Repeatable. Words: exact and str36 (default). "
            "Pages: hmean (default) or cleval.",
            rich_help_panel=SCORES,
        ),
    ] = None,
    report: Report = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under",
            metavar="METRIC=X",
            help="Exit 1 below this score (of cer: above): str36=80%, exact.cer=0.1, hmean=0.8. Repeatable.",
            rich_help_panel=SCORES,
        ),
    ] = None,
    e2e: Annotated[
        bool,
        typer.Option("--e2e", help="Score the recognised text, too. Requires --gt.", rich_help_panel=SCORES),
    ] = False,
    scores: Annotated[
        bool,
        typer.Option("--scores", help="Lines of --pred have a score after the points.", rich_help_panel=INPUTS),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            help="Drop detections of --pred below this score. Default: keep all.",
            rich_help_panel=SCORES,
        ),
    ] = None,
    find_threshold: Annotated[
        bool,
        typer.Option(
            "--find-threshold",
            help="Also print the scores at other thresholds, and the best threshold.",
            rich_help_panel=SCORES,
        ),
    ] = False,
    worst: Annotated[
        int,
        typer.Option(
            "--worst",
            min=0,
            help="Number of worst samples of each model in reports, --json and --details.",
            rich_help_panel=OUTPUT,
        ),
    ] = 20,
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            help="Also print accuracy by length, and all of the worst samples instead of 5. Recognisers.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            help="First N samples of each SPEC. Default: all; synth:words 2000, synth:pages 100.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            "--bootstrap",
            min=0,
            max=1_000_000,
            help="Resamples for the 95 % intervals of CER, 1-NED and differences; 0: no intervals.",
            rich_help_panel=SCORES,
        ),
    ] = 1000,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, help="Random seed of the resampling and of synth:*.", rich_help_panel=RUNTIME),
    ] = 0,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="K=V", help="Set a setting of synth:*, such as synth.style=scene.", rich_help_panel=INPUTS
        ),
    ] = None,
    device: Device = "auto",
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            max=1 << 20,
            help="Images per forward pass. Default: 64 words, 1 page.",
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
    github: GitHub = False,
    guard: SpreadsheetSafe = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score models on the same samples, or result files against ground truth.

    Recognisers: accuracy, CER and 1-NED with intervals, paired differences, the worst samples. Detectors: IoU hmean
    or CLEval on pages, at the model's own thresholds. With --gt and --pred: result files of text detection by any
    tool, by IoU hmean or CLEval.

    \b
    Examples:
      ocrctl eval runs/crnn -d data/test
      ocrctl eval runs/a runs/b -d data/test --fail-under str36=80%
      ocrctl eval --gt data/gt --pred results.zip --scores --find-threshold
    """
    check_github(github, as_json)
    if threshold is not None and not isfinite(threshold):
        raise UsageError(f"--threshold {threshold:g}: expected a number.")
    if truth is not None or found is not None:
        from ocrctl.cli.eval_files import check_gt_and_pred, score_files
        from ocrctl.core.eval.files import FilesOptions

        given = {
            "MODEL": models, "-d": data, "--limit": limit, "--set": sets, "--jobs": jobs, "--threads": threads,
            "--decoding": decoding, "--lexicon": lexicon, "--ngram": ngram, "--ngram-weight": ngram_weight,
            "--allowlist": allowlist,
        }  # fmt: skip
        one, two, name = check_gt_and_pred(truth, found, protocol or [], [key for key, value in given.items() if value])
        files = FilesOptions(one, two, name, e2e, scores, threshold, find_threshold)
        return score_files(files, report, fail_under or [], as_json, github)
    for name, value in (("--e2e", e2e), ("--scores", scores), ("--threshold", threshold)):
        if value:
            raise UsageError(f"{name} requires --gt and --pred.")
    if not models:
        raise UsageError("no model given.", hint="ocrctl eval MODEL -d SPEC, or ocrctl eval --gt SPEC --pred SPEC")
    if not data:
        raise UsageError("no data given: -d SPEC.", hint="ocrctl eval MODEL -d SPEC")
    check_report(report)  # before models and images are opened
    check_models(models)
    check_specs(data)
    check_texts(lexicon, ngram)
    from ocrctl.runtime import keep_memory, share_cores

    share_cores()
    keep_memory()
    from ocrctl.cli.eval_pages import eval_pages, of_pages
    from ocrctl.cli.eval_table import show
    from ocrctl.cli.pairs import gates
    from ocrctl.core.eval.gate import check_gates, failed_gates
    from ocrctl.core.eval.pages import PagesOptions
    from ocrctl.core.eval.words import EvalOptions
    from ocrctl.core.eval.words import evaluate as run
    from ocrctl.inference import decoding as how

    pages = PagesOptions(
        models,
        data,
        list(dict.fromkeys(protocol or [])),
        find_threshold,
        limit,
        seed,
        sets or [],
        device,
        batch_size,
        jobs,
        threads,
    )
    if of_pages(pages):
        searches = {
            "--decoding": decoding, "--lexicon": lexicon, "--ngram": ngram, "--ngram-weight": ngram_weight,
            "--allowlist": allowlist,
        }  # fmt: skip
        for name, option in searches.items():
            if option is not None:
                raise UsageError(f"{name} requires a recogniser.")
        pages = replace(pages, protocols=pages.protocols or ["hmean"])
        return eval_pages(pages, report, fail_under or [], as_json, github)
    if find_threshold:
        raise UsageError("--find-threshold requires a detector, or --gt and --pred.")
    search = how.Decoding.parse(decoding, lexicon, ngram, ngram_weight, allowlist)
    protocols = list(dict.fromkeys(protocol or ["exact", "str36"]))
    minimums = gates(fail_under or [])
    check_gates(minimums, protocols)  # a typo fails before the evaluation, not after it
    options = EvalOptions(
        models,
        data,
        protocols,
        limit,
        bootstrap,
        seed,
        worst,
        device,
        batch_size or 64,
        jobs,
        threads,
        sets or [],
        search,
    )
    with ProgressBar("images") as progress:
        result, samples = run(options, progress)
    sentences = failed_gates(result, minimums)
    with console.ignoring_closed_pipe():
        if as_json:
            console.write_json(_plain(result, sentences))
        else:
            show(result, details)
        if github:
            failed("eval", [*sentences, *(f"unreadable: {item.error}" for item in result.unreadable)])
    for model in result.models:
        if model.note:
            console.note(f"note: {model.name}: {model.note}")
    for item in result.unreadable[:UNREADABLE_SHOWN]:
        console.warn(f"unreadable: {item.error}")
    if len(result.unreadable) > UNREADABLE_SHOWN:
        console.warn(f"unreadable: and {len(result.unreadable) - UNREADABLE_SHOWN} more")
    if report is not None:
        from ocrctl.core.eval.reports import write_words_report

        write_report(report, _plain(result, sentences), lambda path: write_words_report(path, result, samples))
    for sentence in sentences:
        console.warn(f"failed: {sentence}")
    if sentences or result.unreadable:
        raise typer.Exit(1)


def _plain(result: Evaluation, missed: list[str]) -> dict[str, Any]:
    """Return the object of --json and of a JSON report."""
    return {**console.to_plain(result), "missed": missed}
