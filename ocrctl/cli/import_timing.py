"""`ocrctl import-timing`: time imports against budgets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.options import Json, Quiet
from ocrctl.cli.progress import ProgressBar
from ocrctl.shell import shell_quote

if TYPE_CHECKING:
    from ocrctl.core.import_timing import ImportTimingResult
    from ocrctl.diagnose.imports import ImportNode

TREE_SHARE = 0.02  # of the whole: imports below it are left out of the printed tree (all are in --json)


def import_timing(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Names to time: a command (lmdb info), a module (torch), a wildcard."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", "-n", min=1, help="Interpreters started per row, for the median.")] = 5,
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", metavar="NAME=RATIO", help="Exit 1 above this ratio to a bare python. Repeatable."),
    ] = None,
    tree: Annotated[
        str | None, typer.Option("--tree", metavar="NAME", help="Show the slowest imports of NAME as a tree.")
    ] = None,
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Save the ratios as a baseline.")] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="FILE", help="Exit 1 where slower than this saved baseline.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="Allowed excess over the baseline as a share.")
    ] = 0.25,
    list_names: Annotated[bool, typer.Option("--list", help="List the names that can be timed.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time the cold start of every command and heavy dependency, and check it against budgets."""
    from ocrctl.cli.command_line import command_paths
    from ocrctl.core.import_timing import all_targets, import_timing, parse_budgets

    paths = command_paths(context.find_root().command)
    if list_names:
        listed = [target.name for target in all_targets(paths)]
        if as_json:
            console.write_json({"names": listed})
        else:
            for name in listed:
                console.write(name)
        return
    with ProgressBar("measurements") as progress:
        result = import_timing(
            paths,
            only=names or (),
            runs=runs,
            budgets=parse_budgets(budget or ()),
            tree=tree,
            save=save,
            baseline=baseline,
            tolerance=tolerance,
            progress=progress,
        )
    with console.ignoring_closed_pipe():
        if as_json:
            console.write_json(result)
        else:
            _show(result)
    if save:
        console.suggest(f"ocrctl import-timing --baseline {shell_quote(save)}")
    if result.failures:
        raise typer.Exit(1)


def _show(result: ImportTimingResult) -> None:
    console.note(f"bare python: {result.bare_seconds * 1000:.1f} ms; ratios are to it, median of {result.runs} runs")
    rows = []
    for row in result.timings:
        seconds = "-" if row.seconds is None else f"{row.seconds * 1000:.0f}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        against = "" if row.budget is None else f"{row.budget:g}"
        before = "" if row.baseline_ratio is None else f"{row.baseline_ratio:.2f}"
        rows.append((ratio, row.name, row.verdict, seconds, against, before, row.note))
    console.table(("ratio", "name", "verdict", "ms", "budget", "baseline", "note"), rows)
    if result.tree is not None:
        _show_tree(result.tree)
    for row in result.failures:
        limit = row.budget if row.verdict == "over budget" else row.baseline_ratio
        reason = row.note if row.ratio is None else f"{row.ratio:.2f} times a bare python, maximum {limit:g}"
        console.note(f"{row.name}: {row.verdict}: {reason}")
        if row.ratio is not None:
            console.suggest(f"ocrctl import-timing --tree '{row.name}' '{row.name}'")


def _show_tree(tree: ImportNode) -> None:
    console.write()
    console.write("self ms  total ms  import")
    minimum = tree.cumulative_us * TREE_SHARE

    def show(node: ImportNode, depth: int) -> None:
        console.write(f"{node.self_us / 1000:7.1f}  {node.cumulative_us / 1000:8.1f}  {'  ' * depth}{node.name}")
        small = [child for child in node.children if child.cumulative_us < minimum]
        for child in node.children:
            if child.cumulative_us >= minimum:
                show(child, depth + 1)
        if small and depth == 0:
            rest = sum(child.cumulative_us for child in small)
            console.write(f"         {rest / 1000:8.1f}    {len(small)} smaller imports")

    show(tree, 0)
