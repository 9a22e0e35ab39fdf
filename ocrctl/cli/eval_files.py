"""`ocrctl eval --gt --pred`: score result files and print the scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ocrctl.cli import console
from ocrctl.cli.github import failed
from ocrctl.cli.progress import ProgressBar
from ocrctl.cli.report import check_report, write_report
from ocrctl.errors import UsageError

if TYPE_CHECKING:
    from ocrctl.core.eval.files import FilesOptions, FilesResult
    from ocrctl.metrics.pages import PageScores, Search

NAMED = 5  # images named in one note


def score_files(options: FilesOptions, report: Path | None, fail_under: list[str], as_json: bool, github: bool) -> None:
    """Score, print and write the report; exit 1 when a threshold is missed or a predicted image has no ground truth."""
    from ocrctl.cli.pairs import gates
    from ocrctl.core.eval.files import score_files as run
    from ocrctl.metrics.pages import check_metrics, check_protocol

    check_protocol(options.protocol)
    minimums = gates(fail_under)
    check_metrics(minimums, options.protocol, options.e2e)  # a typo fails before the evaluation, not after it
    check_report(report)
    with ProgressBar("steps") as progress:
        result = run(options, progress)
    missed = [
        f"{name} is {value:.4f}, at least {gate:.4f} is required"
        for name, gate in minimums.items()
        if not (value := result.scores.metric(name)) >= gate
    ]
    without_truth = _left_over(result.without_truth, f"not in {result.truth}, ignored")
    with console.ignoring_closed_pipe():
        if as_json:
            console.write_json(_plain(result, missed))
        else:
            show_scores(result.scores, result.search, " (--threshold)")
        if github:
            failed("eval", [*missed, *without_truth])
    left_over = _left_over(result.without_prediction, f"not in {result.found}, scored as nothing found")
    for sentence in (*left_over, *without_truth):
        console.warn(sentence)
    if report is not None:
        from ocrctl.core.eval.reports import write_files_report

        write_report(report, _plain(result, missed), lambda path: write_files_report(path, result))
    for sentence in missed:
        console.warn(f"failed: {sentence}")
    if missed or result.without_truth:
        raise typer.Exit(1)


def _left_over(names: list[str], what: str) -> list[str]:
    from ocrctl.core.eval.files import names_of

    return [f"images: {len(names)} {what}: {names_of(names, NAMED)}"] if names else []


def check_gt_and_pred(
    truth: str | None, found: str | None, protocols: list[str], clashing: list[str]
) -> tuple[str, str, str]:
    """Return --gt, --pred and the protocol. Raises UsageError when one is missing or an option requires models."""
    if truth is None or found is None:
        raise UsageError("--gt and --pred require each other: ground truth and result files.")
    if clashing:
        raise UsageError(f"{', '.join(clashing)} cannot be combined with --gt and --pred, which score files.")
    if len(protocols) > 1:
        raise UsageError("--gt and --pred take one --protocol.")
    return truth, found, protocols[0] if protocols else "hmean"


def _plain(result: FilesResult, missed: list[str]) -> dict[str, Any]:
    """Return the object of --json and of a JSON report."""
    return {
        "gt": result.truth,
        "pred": result.found,
        **plain_scores(result.scores, result.search),
        "without_prediction": result.without_prediction,
        "without_truth": result.without_truth,
        "missed": missed,
    }


def plain_scores(scores: PageScores, search: list[Search]) -> dict[str, Any]:
    """Return the JSON fields of a scored set of pages."""
    return {
        "protocol": scores.protocol,
        "e2e": scores.e2e,
        "threshold": scores.threshold,
        "images": len(scores.by_image),
        "total": scores.total,
        "by_size": scores.by_size,
        "by_image": scores.by_image,
        "dropped": scores.dropped,
        "threshold_search": search,
        # Names of 0.1.0, until the release after the next one.
        "pictures": len(scores.by_image),
        "by_picture": [
            {"picture": row["image"], **{k: v for k, v in row.items() if k != "image"}} for row in scores.by_image
        ],
    }


def _parts(row: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    inner = [(key, row[key]) for key in ("det", "e2e") if row.get(key) is not None]
    return inner if "det" in row else [("boxes", row), *inner]


def _percents(row: dict[str, Any]) -> list[str]:
    return [f"{100 * row[name]:.2f}" for name in ("recall", "precision", "hmean")]


def show_scores(scores: PageScores, search: list[Search], how: str = "") -> None:
    """Print tables of the totals, by text size and of the threshold search, if any; `how` a threshold is set."""
    heads = ["recall %", "precision %", "hmean %"]
    counts = [name for name in _parts(scores.total)[0][1] if name not in ("recall", "precision", "hmean", "e2e")]
    rows = [
        [
            scores.protocol,
            part,
            len(scores.by_image),
            *_percents(row),
            *(f"{row[name]:g}" if name in row else "-" for name in counts),
        ]
        for part, row in _parts(scores.total)
    ]
    console.table(["protocol", "of", "images", *heads, *counts], rows, keys=2)
    others = {name: value for name, value in scores.total.items() if name.startswith("num_")}
    if others:
        console.write()
        console.table(list(others), [list(others.values())], keys=0)
    console.write()
    rows = [[f"{row['height']:g}", part, *_percents(one)] for row in scores.by_size for part, one in _parts(row)]
    console.table(["height from, pixels", "of", *heads], rows, keys=2)
    if scores.dropped:
        from ocrctl.core.eval.files import names_of

        console.note(
            f"note: {scores.total['dropped_truths']} ground-truth polygons and {scores.total['dropped_detections']} "
            "detections cross themselves and are dropped, as in the ICDAR evaluation script: "
            f"{names_of(scores.dropped, NAMED)}"
        )
    if search:
        best = search[0]
        console.write()
        rows = [
            [f"{row.threshold:g}", *(f"{100 * value:.2f}" for value in (row.recall, row.precision, row.hmean))]
            for row in sorted(search, key=lambda row: row.threshold)
        ]
        console.table(["threshold", *heads], rows)
        console.note(
            f"note: {best.threshold:g} scores best on these images; as a threshold for others{how}; it is no result"
        )
