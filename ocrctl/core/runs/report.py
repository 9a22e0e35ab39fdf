"""`runs show --report` and `runs compare --report`: gather the figures, events and previews of run folders."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ocrctl.core.runs.show import changed_settings, compare_runs, goal_metric, load_run, summary
from ocrctl.data.images.decode import decode
from ocrctl.errors import InputError
from ocrctl.files.atomic import write_with_newline
from ocrctl.files.regular import read_regular
from ocrctl.inference.writers.report.runs import Preview, RunPage, best_point, render_runs
from ocrctl.training.metrics_rows import is_number
from ocrctl.training.watchdog import stack_files

LARGEST_PREVIEW = 768 << 10  # bytes of a PNG that is embedded as it is; a larger one becomes a JPEG
_SHEET = re.compile(r"step-(\d{1,18})\.png")


def write_run_report(path: Path, run: Path) -> None:
    """Write the page of one run. Raises as `load_run`, InputError when `path` cannot be written."""
    changed = changed_settings(load_run(run)[0])
    write_with_newline(path, render_runs([_page(run, run.name or str(run))], changed))


def write_comparison_report(path: Path, runs: Sequence[Path]) -> None:
    """Write the page of several runs. Raises as `compare_runs`, InputError when `path` cannot be written."""
    _, different = compare_runs(list(runs))
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    pages = [_page(run, name) for run, name in zip(runs, names, strict=True)]
    write_with_newline(path, render_runs(pages, {name: tuple(values) for name, values in different.items()}))


def _page(run: Path, name: str) -> RunPage:
    entry = summary(run)
    texts = load_run(run)[1]
    goal = goal_metric(texts)
    rows = [{key: float(text) for key, text in row.items() if is_number(text)} for row in texts]
    rows = [{"seconds": 0.0, **row} for row in rows]
    best = best_point(rows, goal)
    return RunPage(
        name, str(run), entry.arch, entry.steps, entry.seconds, goal, rows, _events(run, rows),
        _previews(run, int(best[0]) if best else 0),
    )  # fmt: skip


def _events(run: Path, rows: Sequence[dict[str, float]]) -> list[str]:
    """Describe what the run folder holds besides curves."""
    events = []
    skipped = max((row.get("skipped", 0.0) for row in rows), default=0.0)
    if skipped:
        events.append(f"Steps skipped because the loss or its gradients were not finite: {skipped:.0f}.")
    for folder in sorted((run / "quarantine").glob("step-*")):
        events.append(f"Step {int(folder.name.removeprefix('step-')):,} is in quarantine: {folder}")
    for path in stack_files(run):
        events.append(f"A step or the wait for a batch exceeded its limit; the stacks of all processes: {path}")
    if (change := _forgotten(run)) is not None:
        events.append(change)
    return events


def _forgotten(run: Path) -> str | None:
    """Return the sentence on forgetting.json; None where there is none, or one of another form."""
    try:
        general = json.loads(read_regular(run / "forgetting.json"))["general"]
        before, after = 100 * float(general["before"]), 100 * float(general["after"])
        return f"{general['dataset']}: {general['metric']} {before:.2f} % before the run, {after:.2f} % after it."
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _previews(run: Path, best: int) -> list[Preview]:
    """Return the previews of the best validation and of the last one."""
    found = (_SHEET.fullmatch(path.name) for path in (run / "previews").glob("*.png"))
    steps = {int(match[1]): match[0] for match in found if match}
    wanted = [step for step in (best, max(steps, default=0)) if step in steps]
    return [_preview(run / "previews" / steps[step], step) for step in dict.fromkeys(wanted)]


def _preview(path: Path, step: int) -> Preview:
    import cv2

    try:
        content = read_regular(path)
        image = decode(content, str(path))
    except (OSError, InputError) as error:
        return Preview(step, "", f"{path.name} cannot be shown: {error}")
    kind = "png"
    if len(content) > LARGEST_PREVIEW:
        kind = "jpeg"
        colours = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        content = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return Preview(step, f"data:image/{kind};base64,{base64.b64encode(content).decode()}")
