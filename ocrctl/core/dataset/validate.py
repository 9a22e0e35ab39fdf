"""`ocrctl dataset validate`: apply every rule to one data set and count the findings by code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrctl.config.suggest import did_you_mean
from ocrctl.core.dataset.target import target_of
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.polygons.codes import BY_NAME
from ocrctl.data.polygons.findings import Findings, Hits, fails, known_threshold
from ocrctl.data.validate.image_rules import check_overlap
from ocrctl.data.validate.image_scan import scan_images
from ocrctl.data.validate.run import Target, run_rules
from ocrctl.errors import UsageError

EXAMPLES = 3  # locations printed for each code


@dataclass(frozen=True)
class ValidateOptions:
    """Options of `dataset validate`."""

    spec: str
    decode: bool = True
    against: str | None = None  # SPEC of another set that must not share an image
    model: str | None = None  # architecture or trained model to check the data for
    charset: str | None = None
    profiles: Sequence[str] = ()
    fail_on: Sequence[str] = ("error",)
    limit: int | None = 1000  # findings listed for each code; None: all


@dataclass(frozen=True)
class Location:
    """Location and message of one finding."""

    where: str
    file: str
    line: int
    message: str


@dataclass(frozen=True)
class CodeCount:
    """All findings of one code; `locations` are the first ones."""

    code: str
    name: str
    severity: str
    fix: str
    count: int
    locations: list[Location] = field(metadata={"formerly": "places"})


@dataclass(frozen=True)
class ValidateReport:
    """Result of `dataset validate`; `failed` counts the findings at or above the threshold."""

    spec: str
    format: str
    root: str
    images: int
    instances: int
    ignored: int
    errors: int
    warnings: int
    infos: int
    failed: int
    seconds: float
    notes: list[str]
    codes: list[CodeCount] = field(default_factory=list)


def validate(
    options: ValidateOptions, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[ValidateReport, Annotations, Findings]:
    """Validate a data set. Raises UsageError for an unknown threshold, InputError when the annotations cannot be
    read."""
    for text in options.fail_on:
        if not known_threshold(text):
            raise UsageError(
                f"--fail-on {text}: expected error, warning, info, or a code.{did_you_mean(text, BY_NAME)}",
                hint="docs/reference/codes.md lists the codes",
            )
    start = time.perf_counter()
    target = target_of(options.model, options.charset, options.profiles)
    data = open_annotations(options.spec, malformed=True)
    findings, scan = run_rules(data, target, decode=options.decode, progress=progress)
    if options.against is not None:
        other = open_annotations(options.against, malformed=True)
        check_overlap(findings, data, scan, other, scan_images(other, Findings(), True))
    report = ValidateReport(
        spec=options.spec,
        format=data.format,
        root=data.root,
        images=len(data.images),
        instances=len(data),
        ignored=int(data.ignore.sum()),
        errors=findings.count("error"),
        warnings=findings.count("warning"),
        infos=findings.count("info"),
        failed=sum(len(hits.indices) for hits in findings.sorted() if fails(hits.code, options.fail_on)),
        seconds=time.perf_counter() - start,
        notes=[*data.notes, *_charset_notes(target)],
        codes=[_counted(data, hits, options.limit) for hits in findings.sorted()],
    )
    return report, data, findings


def _charset_notes(target: Target | None) -> list[str]:
    note = target.charset.note if target is not None and target.charset is not None else ""
    return [f"note: charset {note}"] if note else []


def _counted(data: Annotations, hits: Hits, limit: int | None) -> CodeCount:
    code = hits.code
    locations = [_location(data, hits, position) for position in range(len(hits.indices))[:limit]]
    return CodeCount(code.code, code.name, code.severity, code.fix, len(hits.indices), locations)


def _location(data: Annotations, hits: Hits, position: int) -> Location:
    index = int(hits.indices[position])
    instance = hits.code.on == "instance"
    image = int(data.image_id[index]) if instance else index
    line: Any = data.lines[index] if instance and data.lines[index] else data.image_line[image]
    if data.words is not None:
        where = data.words.where(image)
        tail = where.partition(" (")[0].rpartition(":")[2]
        line = int(tail) if tail.isdecimal() else 0
    else:
        where = data.where(index) if instance else data.image_where(image)
    return Location(where, str(Path(data.label_files[data.image_label[image]])), int(line), hits.message(position))
