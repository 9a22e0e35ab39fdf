"""`ocrctl dataset clean` and `undo`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ocrctl.core.dataset_write import write_pages
from ocrctl.data.annotations import Annotations
from ocrctl.data.clean import Cleaned, clean
from ocrctl.data.fit import fit
from ocrctl.data.formats import DETECTION_FORMATS
from ocrctl.data.journal import FOLDER, change, recover, undo
from ocrctl.data.lint import lint
from ocrctl.data.sources import open_annotations, parse_spec
from ocrctl.errors import UsageError


@dataclass(frozen=True)
class CleanOptions:
    """What `dataset clean` is asked for; without any of the three flags nothing is written."""

    spec: str
    clamp: bool = False
    repair: bool = False
    remove_bad: bool = False
    out: Path | None = None
    decode: bool = True

    @property
    def dry(self) -> bool:
        """Whether this only says what all three flags would do."""
        return not (self.clamp or self.repair or self.remove_bad)


@dataclass(frozen=True)
class CleanReport:
    """`fatal` counts the errors that remain (after all three flags, in a dry run)."""

    spec: str
    dry: bool
    out: Path | None
    journal: Path | None
    images: int
    instances: int
    images_left: int
    instances_left: int
    actions: dict[str, int]
    examples: dict[str, str]
    fatal: int


@dataclass(frozen=True)
class UndoReport:
    """The label files that are as they were."""

    files: list[Path]


def clean_data(options: CleanOptions, progress: Callable[[int, int], None] = lambda done, total: None) -> CleanReport:
    """Clean in place, into `options.out`, or only in thought. Raises UsageError for word images, InputError when the
    annotations cannot be read or written."""
    finish_changes(options.spec)
    data = open_annotations(options.spec)
    if data.words is not None:
        raise UsageError(
            f"{options.spec}: word images are not cleaned in place.",
            hint="`ocrctl lmdb build` leaves bad ones out and lists them.",
        )
    findings, looks = lint(data, decode=options.decode, progress=progress)
    dry = options.dry
    cleaned = clean(
        data, looks, findings, clamping=options.clamp or dry, repairing=options.repair or dry,
        removing=options.remove_bad or dry,
    )  # fmt: skip
    journal = None
    if not dry and options.out is not None:
        write_pages(cleaned.data, data.format, options.out)
    elif not dry and cleaned.actions:
        journal = change(base_folder(data), label_changes(data, cleaned))
    return CleanReport(
        spec=options.spec,
        dry=dry,
        out=options.out,
        journal=journal,
        images=len(data.images),
        instances=len(data),
        images_left=len(cleaned.data.images),
        instances_left=len(cleaned.data),
        actions=dict(cleaned.actions),
        examples=cleaned.examples,
        fatal=cleaned.fatal,
    )


def undo_clean(spec: str) -> UndoReport:
    """Take the latest clean of a data set back. Raises UsageError when there is none."""
    recovered = journal_folders(spec)
    if not recovered:
        raise UsageError(
            f"{spec}: holds no change that could be undone.", hint="Only `dataset clean` in place leaves one."
        )
    return UndoReport(undo(recovered[-1]))


def finish_changes(spec: str) -> None:
    """Finish a change of this data set that was killed half way."""
    for folder in journal_folders(spec):
        recover(folder)


def journal_folders(spec: str) -> list[Path]:
    """Folders at or directly below the path of `spec` that hold a journal."""
    path = parse_spec(spec).path
    if path is None:
        return []
    folder = path if path.is_dir() else path.parent
    places = [folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir())] if path.is_dir() else [folder]
    return [place for place in places if (place / FOLDER).is_dir()]


def base_folder(data: Annotations) -> Path:
    """The folder that holds the label files."""
    return Path(data.label_files[0]).parent


def label_changes(data: Annotations, cleaned: Cleaned) -> dict[Path, bytes | None]:
    """The new bytes of every label file of `data` that changes; None: the file goes, with its picture's entry."""
    pages = DETECTION_FORMATS[data.format]
    fitted, _ = fit(cleaned.data, data.format)
    fitted = replace(fitted, images=cleaned.data.images)
    files: dict[Path, bytes | None] = {}
    if pages.PER_IMAGE:
        old = [image for image, kept in enumerate(cleaned.kept) if kept]
        for image, kept in enumerate(cleaned.kept):
            if not kept:
                files[Path(data.label_files[data.image_label[image]])] = None
    for rendered in pages.render(fitted):
        if rendered.image is None:
            files[Path(data.label_files[0])] = rendered.content
        elif cleaned.changed[old[rendered.image]]:
            files[Path(data.label_files[data.image_label[old[rendered.image]]])] = rendered.content
    return files
