"""Render the scores of found polygons as one self-contained HTML file, with missed, false and merged boxes drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrctl import __version__
from ocrctl.errors import counted
from ocrctl.inference.writers.report.parts import document, escape, percent, table
from ocrctl.metrics.instances import Instances
from ocrctl.metrics.pages import METRICS, PageScores, Row, Search

MAX_DRAWN = 60  # images in one report, those with the most errors
_STYLE = """
.page { margin: 0 0 22px; }
.page svg { background: var(--image); }
.page polygon { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.page .found { stroke: var(--s2); } .page .ignored { stroke: var(--soft); stroke-dasharray: 3 3; }
.page .missed { stroke: var(--s0); stroke-width: 3; } .page .false { stroke: var(--s5); stroke-width: 3; }
.page .merged { stroke: var(--s3); stroke-width: 3; }
"""
_LEGEND = {
    "found": "found", "missed": "missed", "false": "false", "merged": "merged, or split", "ignored": "do-not-care",
}  # fmt: skip
_COLOURS = {"found": "--s2", "missed": "--s0", "false": "--s5", "merged": "--s3", "ignored": "--soft"}


@dataclass(frozen=True)
class EmbeddedImage:
    """An image to draw polygons on: a data URI, empty if it is unreadable, and the size that polygons are measured
    in."""

    source: str
    width: int
    height: int


def render_pages(
    title: str,
    scores: PageScores,
    truth: Instances,
    found: Instances,
    embed: Callable[[int], EmbeddedImage],
    search: Sequence[Search] = (),
    notes: Sequence[str] = (),
) -> str:
    """Render the report. `embed` returns image `number`, for at most MAX_DRAWN images; `notes` are sentences."""
    kept = "all detections" if scores.threshold is None else f"detections with a score of at least {scores.threshold:g}"
    remarks = "".join(f"<p class='soft'>{escape(note)}</p>" for note in notes)
    images = counted(len(scores.by_image), "image")
    introduction = f"{escape(title)}. {images}, protocol {scores.protocol}, {kept}. ocrctl {__version__}."
    body = (
        f"{_heads(scores)}{remarks}{_sizes(scores)}{_search(search)}{_drawn(scores, truth, found, embed)}"
        f"{_image_table(scores)}"
    )
    return document("ocrctl eval", "Text detection", introduction, body, _STYLE)


def _parts(row: Row) -> list[tuple[str, Row]]:
    """The scores in a row: those of boxes, or of characters detected and read."""
    names = {"det": "detection", "e2e": "end to end"}
    inner = [(names[key], row[key]) for key in names if row.get(key) is not None]
    return inner if "det" in row else [("", row), *inner]


def _heads(scores: PageScores) -> str:
    cards = []
    for name, row in _parts(scores.total):
        counts = ", ".join(f"{escape(key)} {value:g}" for key, value in row.items() if key not in (*METRICS, "e2e"))
        cards.append(
            f'<div class="head"><div class="name">{name or "boxes"}</div><strong>{percent(row["hmean"])} %</strong>'
            f"<div>hmean; recall {percent(row['recall'])}, precision {percent(row['precision'])}</div>"
            f'<div class="soft path">{counts}</div></div>'
        )
    if "det" in scores.total:
        rest = ", ".join(f"{key} {value}" for key, value in scores.total.items() if key.startswith("num_"))
        cards.append(f'<div class="head"><div class="name">splits and merges</div><div class="soft">{rest}</div></div>')
    return f'<div class="heads">{"".join(cards)}</div>'


def _cells(row: Row) -> list[str]:
    return [percent(part[name]) for _, part in _parts(row) for name in METRICS]


def _headers(scores: PageScores) -> list[str]:
    return [f"{name} {metric} %".strip() for name, _ in _parts(scores.total) for metric in METRICS]


def _sizes(scores: PageScores) -> str:
    rows = []
    for index, row in enumerate(scores.by_size):
        last = index + 1 == len(scores.by_size)
        upper = " and more" if last else f" to {scores.by_size[index + 1]['height']:g}"
        words = row["truths"] if "truths" in row else row["det"]["num_char_gt"]
        rows.append([f"{row['height']:g}{upper}", str(words), *_cells(row)])
    unit = "boxes" if scores.protocol == "hmean" else "characters"
    numbers = table(["height, pixels", unit, *_headers(scores)], rows, 1)
    return f"<h2>By text size</h2><p class='soft'>Height of the text in the image's pixels.</p>{numbers}"


def _search(search: Sequence[Search]) -> str:
    if not search:
        return ""
    rows = [
        [f"{row.threshold:g}", *(percent(value) for value in (row.recall, row.precision, row.hmean))]
        for row in sorted(search, key=lambda row: row.threshold)
    ]
    note = "Chosen on the images it is measured on: a threshold to use on other images, not a result."
    numbers = table(["threshold", *(f"{name} %" for name in METRICS)], rows, 1)
    return f"<h2>By threshold</h2><p class='soft'>Best: {search[0].threshold:g}. {note}</p>{numbers}"


def _drawn(scores: PageScores, truth: Instances, found: Instances, embed: Callable[[int], EmbeddedImage]) -> str:
    marks = scores.marks
    errors = _per_image(truth, marks.missed | marks.split) + _per_image(found, marks.false | marks.merged)
    order = [int(i) for i in np.argsort(-errors, kind="stable")[:MAX_DRAWN] if errors[i]]
    if not order:
        return "<h2>Errors</h2><p>None.</p>"
    legend = "".join(f'<span style="--swatch:var({_COLOURS[key]})">{text}</span>' for key, text in _LEGEND.items())
    figures = []
    for number in order:
        row = scores.by_image[number]
        drawing = _drawing(embed(number), scores, truth, found, number)
        values = ", ".join(f"{name} hmean {percent(part['hmean'])}".strip() for name, part in _parts(row))
        figures.append(
            f'<figure class="page"><figcaption>{escape(row["image"])} <span class="soft">{values}, '
            f"{errors[number]} errors</span></figcaption>{drawing}</figure>"
        )
    wrong = int((errors > 0).sum())
    some = "" if wrong <= MAX_DRAWN else f" Only the {MAX_DRAWN} with the most errors of {wrong} are drawn."
    return f"<h2>Errors</h2><p class='soft'>Most first.{some}</p><div class='legend'>{legend}</div>{''.join(figures)}"


def _image_table(scores: PageScores) -> str:
    rows = [[escape(row["image"]), *_cells(row)] for row in scores.by_image]
    numbers = table(["image", *_headers(scores)], rows, 1)
    return f"<h2>By image</h2><details><summary>{counted(len(rows), 'image')}</summary>{numbers}</details>"


def _per_image(side: Instances, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.bincount(side.image[flags], minlength=side.num_images)


def _drawing(embedded: EmbeddedImage, scores: PageScores, truth: Instances, found: Instances, number: int) -> str:
    marks, shapes = scores.marks, []
    for i in range(int(truth.spans[number]), int(truth.spans[number + 1])):
        if marks.truth_ignored[i] or marks.missed[i] or marks.split[i]:
            kind = "ignored" if marks.truth_ignored[i] else "missed" if marks.missed[i] else "merged"
            shapes.append(_polygon(truth, i, kind))
    for i in range(int(found.spans[number]), int(found.spans[number + 1])):
        if not marks.found_ignored[i]:
            shapes.append(_polygon(found, i, "merged" if marks.merged[i] else "false" if marks.false[i] else "found"))
    image = f'<image href="{embedded.source}" width="{embedded.width}" height="{embedded.height}"/>'
    return (
        f'<svg viewBox="0 0 {embedded.width} {embedded.height}" role="img">{image if embedded.source else ""}'
        f"{''.join(shapes)}</svg>"
    )


def _polygon(side: Instances, index: int, kind: str) -> str:
    points = side.points[side.offsets[index] : side.offsets[index + 1]].tolist()
    text = side.texts[index]
    score = f" {side.scores[index]:.2f}" if side.scores is not None else ""
    label = escape(f"{_LEGEND[kind]}{score}{': ' if text else ''}{text}")
    corners = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polygon class="{kind}" points="{corners}"><title>{label}</title></polygon>'
