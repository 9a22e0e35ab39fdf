"""`ocrctl eval` of detectors: score their detections on pages and print the scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ocrctl.cli import console
from ocrctl.cli.eval_files import plain_scores, show_scores
from ocrctl.cli.github import failed
from ocrctl.cli.progress import ProgressBar
from ocrctl.cli.report import check_report, write_report

if TYPE_CHECKING:
    from ocrctl.core.eval.pages import PagesEvaluation, PagesOptions

UNREADABLE_SHOWN = 10


def of_pages(options: PagesOptions) -> bool:
    """Return whether the protocols, or without any the first model, score pages."""
    from ocrctl.core.eval.pages import are_detectors
    from ocrctl.metrics.pages import PAGE_PROTOCOLS

    if options.protocols:
        return any(protocol in PAGE_PROTOCOLS for protocol in options.protocols)
    return are_detectors(options)


def eval_pages(options: PagesOptions, report: Path | None, fail_under: list[str], as_json: bool, github: bool) -> None:
    """Score, print and write the reports; exit 1 when a threshold is missed or a page is unreadable."""
    from ocrctl.cli.pairs import gates
    from ocrctl.core.eval.pages import evaluate_pages
    from ocrctl.core.eval.pages_report import check_gates, failed_gates, write_pages
    from ocrctl.metrics.pages import check_protocol

    for protocol in options.protocols:
        check_protocol(protocol)
    minimums = gates(fail_under)
    check_gates(minimums, options.protocols)  # a typo fails before the evaluation, not after it
    check_report(report)
    with ProgressBar("pages") as progress:
        result, data = evaluate_pages(options, progress)
    sentences = failed_gates(result, minimums)
    with console.ignoring_closed_pipe():
        if as_json:
            console.write_json(_plain(result, sentences))
        else:
            _show(result)
        if github:
            failed("eval", [*sentences, *(f"unreadable: {one.error}" for one in result.unreadable)])
    for model in result.models:
        if model.note:
            console.note(f"note: {model.name}: {model.note}")
    for one in result.unreadable[:UNREADABLE_SHOWN]:
        console.warn(f"unreadable: {one.error}")
    if len(result.unreadable) > UNREADABLE_SHOWN:
        console.warn(f"unreadable: and {len(result.unreadable) - UNREADABLE_SHOWN} more")
    if report is not None:
        write_report(report, _plain(result, sentences), lambda path: write_pages(path, result, data))
    for sentence in sentences:
        console.warn(f"failed: {sentence}")
    if sentences or result.unreadable:
        raise typer.Exit(1)


def _plain(result: PagesEvaluation, missed: list[str]) -> dict[str, Any]:
    """Return the object of --json and of a JSON report."""
    rows = [
        {"model": item.model, "dataset": item.dataset, "thresholds": item.thresholds}
        | plain_scores(item.scores, item.search)
        for item in result.results
    ]
    return {**vars(result), "results": rows, "missed": missed}


def _show(result: PagesEvaluation) -> None:
    for number, item in enumerate(result.results):
        if number:
            console.write()
        console.write(f"{item.model} on {item.dataset}")
        show_scores(item.scores, item.search)
