"""Apply the rules of `dataset validate` before a detector is trained: refuse, clamp or skip errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np

from ocrctl.config.settings import DataSettings
from ocrctl.core.train.data_errors import Fix, TrainingDataError, clean_command, summarise_findings
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.polygons.fixes import clamp
from ocrctl.data.validate.image_rules import frames
from ocrctl.data.validate.image_scan import ImageScan, multipage_note
from ocrctl.data.validate.run import header_errors

NO_REGION = ("too-few-points", "not-finite", "no-area", "outside")  # instances without any area in the image


@dataclass
class CheckedPages:
    """One annotated set for training: `data` after data.bad_polygons and data.bad_labels, `notes` about their changes,
    and the remaining `errors`. `fingerprint` is that of the data as read, so that a run may be resumed with another
    data.bad_polygons."""

    spec: str
    data: Annotations
    notes: list[str] = field(default_factory=list)
    errors: Findings = field(default_factory=Findings)
    fingerprint: str = ""


def check_pages(spec: str, data: Annotations, settings: DataSettings) -> CheckedPages:
    """Find the errors of `data`, read from `spec`, and clamp or skip them as the settings say. No image is decoded."""
    errors, scan = header_errors(data)
    checked = CheckedPages(spec, data, multipage_note(data, scan), errors, _fingerprint(data))
    if settings.bad_polygons == "clamp":
        _clamp(checked, scan)
    if settings.bad_polygons == "skip":
        shapeless = checked.errors.of(*NO_REGION)
        _skip(checked, "P", "data.bad_polygons")
    if settings.bad_labels == "skip":
        _skip(checked, "T", "data.bad_labels")
    if settings.bad_polygons == "skip" and len(shapeless) and not checked.errors.hits:
        kept = np.ones(len(data), bool)
        kept[shapeless] = False
        checked.data = checked.data.subset(kept, np.ones(len(data.images), bool))
    return checked


def raise_page_errors(sets: Sequence[CheckedPages]) -> None:
    """Raise TrainingDataError with the errors of all sets, by code, and the commands that remove them."""
    bad = [one for one in sets if one.errors.hits]
    if not bad:
        return
    reasons = []
    for one in bad:
        data = one.data
        images = [h.indices if h.code.on == "image" else data.image_id[h.indices] for h in one.errors.hits.values()]
        total, pages = sum(map(len, images)), len(np.unique(np.concatenate(images)))
        codes = summarise_findings(one.errors, data.image_where, data.where)
        reasons.append(f"{data.name}: {total} errors on {pages} of {len(data.images)} pages, {codes}")
    found = {code for one in bad for code in one.errors.hits}
    polygons = {code for code in found if code.startswith("P")}
    others = [f"--set data.bad_polygons={'clamp' if polygons == {'P010'} else 'skip'}"] if polygons else []
    others += ["--set data.bad_labels=skip"] if any(code.startswith("T") for code in found) else []
    of_images = any(code.startswith("I") for code in found)
    leave = "" if of_images else f" ({' '.join(others)} would train without changing the data)"
    commands = tuple(dict.fromkeys(clean_command(one.spec) for one in bad))
    raise TrainingDataError(f"{'; '.join(reasons)}{leave}.", Fix(commands))


def _fingerprint(data: Annotations) -> str:
    checksum = crc32(data.points.tobytes(), crc32("\n".join([*data.images, *data.texts]).encode()))
    return f"{len(data.images)} pages, labels {checksum:08x}"


def _clamp(checked: CheckedPages, scan: ImageScan) -> None:
    """Move polygons beyond their image to its edge, as `dataset clean --clamp` does, and check again."""
    data, errors = checked.data, checked.errors
    beyond = errors.of("out-of-bounds")
    if not len(beyond):
        return
    widths, heights = frames(data, scan, errors)
    checked.data = replace(data, points=clamp(data.points, data.offsets, beyond, widths, heights))
    checked.notes.append(
        f"{data.name}: data.bad_polygons=clamp moves {len(beyond)} polygons to the edge of their image (P010)"
    )
    again, _ = header_errors(checked.data, scan)  # polygons only: the image files did not change
    files = {code: hits for code, hits in errors.hits.items() if hits.code.on == "image"}
    checked.errors = Findings({**files, **again.hits})


def _skip(checked: CheckedPages, letter: str, setting: str) -> None:
    """Make the instances with errors of the codes that begin with `letter` ignored regions."""
    part = Findings({code: hits for code, hits in checked.errors.hits.items() if code.startswith(letter)})
    if not part.hits:
        return
    codes = ", ".join(f"{len(hits.indices)} {hits.code.name} ({hits.code.code})" for hits in part.sorted())
    checked.notes.append(f"{checked.data.name}: {setting}=skip ignores {codes}")
    ignore = checked.data.ignore.copy()
    ignore[part.errors("instance")] = True
    checked.data = replace(checked.data, ignore=ignore)
    checked.errors = Findings({code: hits for code, hits in checked.errors.hits.items() if code not in part.hits})
