"""Findings as one HTML file that needs nothing else: pictures with the offending polygon, filter, keyboard."""

from __future__ import annotations

import base64
import json
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2

from ocrctl import __version__
from ocrctl.core.dataset_validate import ValidateReport
from ocrctl.data.annotations import Annotations
from ocrctl.data.findings import Findings
from ocrctl.data.images import decode
from ocrctl.errors import InputError
from ocrctl.files.atomic import write_bytes

SHOWN = 40  # findings of one code
PICTURES = 300  # in one page
LONGEST_SIDE = 1100  # pixels of a picture as it is shown


def write_report(path: Path, report: ValidateReport, data: Annotations, findings: Findings) -> None:
    """Write the page. Raises InputError when `path` cannot be written."""
    write_bytes(path, render(report, data, findings).encode("utf-8", "replace"))


def render(report: ValidateReport, data: Annotations, findings: Findings) -> str:
    """The whole page."""
    pictures: dict[int, dict[str, Any]] = {}
    items = []
    for hits in findings.sorted():
        for position in range(min(SHOWN, len(hits.indices))):
            index = int(hits.indices[position])
            instance = hits.code.on == "instance"
            image = int(data.image_id[index]) if instance else index
            if image not in pictures and len(pictures) < PICTURES:
                pictures[image] = _picture(data, image)
            items.append({
                "code": hits.code.code, "name": hits.code.name, "severity": hits.code.severity,
                "where": data.where(index) if instance else data.image_where(image), "message": hits.message(position),
                "text": data.texts[index] if instance else "", "image": image,
                "points": _finite(data.polygon(index).tolist()) if instance else [],
            })  # fmt: skip
    rows = "".join(
        f'<tr data-code="{code.code}"><td><button type="button" class="{code.severity}">{code.code}</button></td>'
        f"<td>{escape(code.name)}</td><td>{code.severity}</td><td class='number'>{code.count:,}</td></tr>"
        for code in report.codes
    )
    room = files("ocrctl.core")
    style, script = (room.joinpath(f"dataset_report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    content = json.dumps({"items": items, "pictures": pictures}, ensure_ascii=False).replace("</", "<\\/")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>ocrctl dataset validate</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style>"
        f"</head><body><header><h1>{escape(report.spec)}</h1><p>{report.images:,} pictures, {report.instances:,} "
        f"instances, {escape(report.format)}: {report.errors:,} errors, {report.warnings:,} warnings, "
        f"{report.infos:,} remarks."
        f" At most {SHOWN} of a code are shown. ocrctl {__version__}.</p></header>"
        '<main><nav><table><tr data-code=""><td colspan="4"><button type="button">all</button></td></tr>'
        f"{rows}</table><p>Keys: &larr; &rarr; or j k for the next finding, [ ] for the next code.</p></nav>"
        '<section><div id="bar"><button id="previous" type="button">&larr;</button><span id="count"></span>'
        '<button id="next" type="button">&rarr;</button></div><p id="message"></p><p id="where"></p>'
        '<div id="stage"></div></section></main>'
        f'<script type="application/json" id="data">{content}</script><script>{script}</script>'
        "</body></html>\n"
    )


def _picture(data: Annotations, image: int) -> dict[str, Any]:
    """A JPEG of at most LONGEST_SIDE as a data URI, with the size that polygons are measured in; none when broken."""
    try:
        pixels = decode(data.image_bytes(image), data.image_where(image))
    except InputError:
        width, height = data.sizes[image].tolist()
        return {"src": "", "width": width or 640, "height": height or 480}
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 70])
    source = "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()
    return {"src": source, "width": width, "height": height}


def _finite(points: list[list[float]]) -> list[list[float]]:
    return [point for point in points if all(abs(value) < 1e7 for value in point)]
