"""Write findings as one self-contained HTML file: zoom to each finding, filter by code, keyboard navigation."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl import __version__
from ocrctl.core.dataset.validate import ValidateReport
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.images.decode import decode
from ocrctl.data.polygons.findings import Findings, Hits
from ocrctl.errors import InputError, counted
from ocrctl.escape import visible
from ocrctl.files.atomic import write_with_newline
from ocrctl.inference.writers.report.parts import escape, script_json

SHOWN = 40  # findings of one code
MAX_IMAGES = 300  # in one report
POLYGONS = 1000  # drawn for a finding about a whole image
MAX_SIDE = 1100  # pixels of an embedded image and of a crop
CONTEXT = 40  # minimum pixels around a polygon in a zoomed view
MAX_ZOOMED = 0.5  # fraction of the whole view; larger parts are not zoomed to
CROP_SCALE = 0.75  # below this scale of the embedded image, zoomed views use a crop at full size

Shape = dict[str, Any]
Box = tuple[int, int, int, int]  # left, top, width, height


def write_page(path: Path, report: ValidateReport, data: Annotations, findings: Findings) -> None:
    """Write the report. Raises InputError or ResumableStop when `path` cannot be written."""
    write_with_newline(path, render(report, data, findings))


def render(report: ValidateReport, data: Annotations, findings: Findings) -> str:
    """Return the report as HTML."""
    items = []
    wanted: dict[int, list[dict[str, Any]]] = {}  # image to the findings on it
    for hits in findings.sorted():
        for position in range(min(SHOWN, len(hits.indices))):
            item = _item(data, hits, position)
            items.append(item)
            for image in {item["image"], item["beside"]} - {-1}:
                if image in wanted or len(wanted) < MAX_IMAGES:
                    wanted.setdefault(image, []).append(item)
    images = {image: _image(data, image, on_it) for image, on_it in wanted.items()}
    rows = "".join(
        f'<tr data-code="{escape(code.code)}"><td><button type="button" class="{escape(code.severity)}">'
        f"{escape(code.code)}</button></td><td>{escape(code.name)}</td><td>{escape(code.severity)}</td>"
        f"<td class='number'>{code.count:,}</td></tr>"
        for code in report.codes
    )
    assets = files("ocrctl.core.dataset")
    style, script = (assets.joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>ocrctl dataset validate</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style>"
        f"</head><body><header><h1>{escape(report.spec)}</h1><p>{counted(report.images, 'image')}, "
        f"{counted(report.instances, 'instance')}, {escape(report.format)}: {counted(report.errors, 'error')}, "
        f"{counted(report.warnings, 'warning')}, {counted(report.infos, 'remark')}."
        f" At most {SHOWN} of a code are shown. ocrctl {__version__}.</p></header>"
        '<main><nav><table><tr data-code=""><td colspan="4"><button type="button">all</button></td></tr>'
        f"{rows}</table><p>Keys: &larr; &rarr; or j k for the next finding, [ ] for the next code, z to zoom.</p></nav>"
        '<section><div id="bar"><button id="previous" type="button" aria-label="Previous">&larr;</button>'
        '<span id="count"></span><button id="next" type="button" aria-label="Next">&rarr;</button>'
        '<button id="zoom" type="button">Whole image</button></div>'
        '<p id="message"></p><p id="where"></p><p id="text"></p><div id="legend"></div><div id="stage"></div></section>'
        f'</main><script type="application/json" id="data">{script_json({"items": items, "images": images})}'
        f"</script><script>{script}</script></body></html>\n"
    )


def _item(data: Annotations, hits: Hits, position: int) -> dict[str, Any]:
    """Return one finding. `shapes` are drawn on the image `image`; `beside` is the image that it is compared with, -1:
    none. `view` and `crop` are set by `_image`."""
    index = int(hits.indices[position])
    other = int(hits.others[position]) if hits.others is not None else -1
    if hits.code.on == "instance":
        image, beside = int(data.image_id[index]), -1
        shapes = [_shape(data, index, "hit")]
        if other >= 0:
            shapes.append(_shape(data, other, "other"))
        text, where = data.texts[index], data.where(index)
    else:
        image, beside = index, other
        start, stop = data.spans()[image : image + 2].tolist()
        shapes = [_shape(data, one, "ignored" if data.ignore[one] else "word") for one in range(start, stop)[:POLYGONS]]
        text, where = "", data.image_where(image)
    return {
        "code": hits.code.code, "name": hits.code.name, "severity": hits.code.severity, "where": visible(where),
        "message": visible(hits.message(position)), "text": visible(text), "image": image, "beside": beside,
        "shapes": [shape for shape in shapes if shape["points"]], "view": None, "crop": None,
    }  # fmt: skip


def _shape(data: Annotations, index: int, kind: str) -> Shape:
    points = [point for point in data.polygon(index).round(2).tolist() if all(abs(value) < 1e7 for value in point)]
    return {"kind": kind, "points": points, "text": visible(data.texts[index])}


def _image(data: Annotations, image: int, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an image as a data URI (empty if unreadable) with its size in polygon coordinates; sets the zoomed view of
    `items`."""
    try:
        pixels = decode(data.image_bytes(image), data.image_where(image))
    except InputError:
        width, height = data.sizes[image].tolist()
        pixels = np.zeros((0, 0, 3), np.uint8)
        width, height = width or 640, height or 480
    else:
        height, width = pixels.shape[:2]
    shrunk = MAX_SIDE / max(width, height) < CROP_SCALE
    for item in items:
        if item["image"] == image:
            view = item["view"] = _view(item["shapes"], width, height)
            item["crop"] = _crop(pixels, view) if view is not None and shrunk else None
    return {"src": _jpeg(pixels) if pixels.size else "", "width": width, "height": height}


def _view(shapes: list[Shape], width: int, height: int) -> Box | None:
    """Return the part of an image around the shapes of one finding; None for the whole image."""
    points = np.array([point for shape in shapes for point in shape["points"] if shape["kind"] in ("hit", "other")])
    if not len(points):
        return None
    low, high = points.min(0), points.max(0)
    if (high < 0).any() or (low > (width, height)).any():  # outside the image: show where the image is
        return None
    sides = high - low
    context = np.maximum(CONTEXT, np.maximum(0.5 * sides, 0.25 * sides.max()))
    (left, top), (right, bottom) = np.floor(low - context).tolist(), np.ceil(high + context).tolist()
    whole = (max(width, right) - min(0, left)) * (max(height, bottom) - min(0, top))
    if (right - left) * (bottom - top) > MAX_ZOOMED * whole:
        return None
    return int(left), int(top), int(right - left), int(bottom - top)


def _crop(pixels: NDArray[np.uint8], view: Box) -> dict[str, Any] | None:
    """Crop `view` from RGB uint8 (H, W, 3) at full size, with its position; None when it is outside."""
    left, top = max(0, view[0]), max(0, view[1])
    part = pixels[top : max(0, view[1] + view[3]), left : max(0, view[0] + view[2])]
    if not part.size:
        return None
    return {"src": _jpeg(part), "x": left, "y": top, "width": part.shape[1], "height": part.shape[0]}


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    """Encode RGB uint8 (H, W, 3) as the data URI of a JPEG of at most MAX_SIDE."""
    height, width = pixels.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 75])
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()
