"""`ocrctl dataset clean` and `undo`: fix or remove bad annotations, and restore the previous labels."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ocrctl.core.dataset.outside_images import check_outside_images
from ocrctl.core.dataset.write_pages import write_pages
from ocrctl.core.dataset.write_words import write_words
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import EditableFormat, page_format
from ocrctl.data.formats.fit_to_format import fit_to_format
from ocrctl.data.formats.spec import DatasetRef, locate, parse_spec
from ocrctl.data.lmdb.word_source import FolderWords
from ocrctl.data.validate.clean import Cleaned, clean
from ocrctl.data.validate.run import run_rules
from ocrctl.errors import InputError, UsageError
from ocrctl.files.journal import FOLDER, change, change_lock, has_unfinished_change, recover, undo
from ocrctl.files.scandir import is_folder
from ocrctl.shell import shell_quote


@dataclass(frozen=True)
class CleanOptions:
    """Options of `dataset clean`; without any of the three flags nothing is written."""

    spec: str
    clamp: bool = False
    repair: bool = False
    remove_bad: bool = False
    out: Path | None = None
    decode: bool = True
    allow_outside: bool = False  # copy images that lie outside the set, with `out`

    @property
    def dry(self) -> bool:
        """Return whether this only reports what all three flags would do."""
        return not (self.clamp or self.repair or self.remove_bad)


@dataclass(frozen=True)
class CleanReport:
    """Result of `dataset clean`; `fatal` counts the remaining errors (in a dry run, after all three flags)."""

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
    """Result of `dataset undo`: the restored label files."""

    files: list[Path]


def clean_data(options: CleanOptions, progress: Callable[[int, int], None] = lambda done, total: None) -> CleanReport:
    """Clean in place, into `options.out`, or as a dry run. Raises UsageError when another command is changing the data
    or the format cannot be changed in place, InputError when annotations cannot be read or written, or none would be
    left."""
    if options.dry or options.out is not None:
        return _clean(options, locate(options.spec), progress)
    finish_changes(options.spec)
    located = locate(options.spec)
    _expect_within(options.spec, located.folder)
    if located.words is not None and not isinstance(located.words, EditableFormat):
        raise UsageError(
            f"{options.spec}: {located.words.NAME} cannot be changed in place.", hint="--out DIR writes a cleaned copy"
        )
    with change_lock(located.folder):  # before the labels are read, so that concurrent changes are not lost
        return _clean(options, located, progress)


def _clean(options: CleanOptions, located: DatasetRef, progress: Callable[[int, int], None]) -> CleanReport:
    data = located.annotations(malformed=True)
    if options.out is not None and not options.dry:
        check_outside_images(options.spec, data, options.allow_outside)
    findings, scan = run_rules(data, decode=options.decode, progress=progress)
    dry = options.dry
    cleaned = clean(
        data, scan, findings, clamping=options.clamp or dry, repairing=options.repair or dry,
        removing=options.remove_bad or dry,
    )  # fmt: skip
    journal = None
    if not dry and not cleaned.kept.any():
        raise InputError(f"{options.spec}: no image would be left; nothing was changed.")
    if not dry and options.out is not None:
        if located.words is not None:
            write_words(cleaned.data, located.words, options.out, "dataset clean --out", progress)
        else:
            write_pages(cleaned.data, data.format, options.out, "dataset clean --out", progress=progress)
    elif not dry and cleaned.actions:
        changes = label_changes(data, cleaned) if located.words is None else word_changes(located, data, cleaned)
        journal = change(located.folder, changes)
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
    """Undo the latest `dataset clean` of a data set. Raises UsageError when there is none or another command is
    changing the data."""
    recovered = journal_folders(spec)
    if not recovered:
        raise UsageError(f"{spec}: no change to undo.", hint="only `dataset clean` in place can be undone")
    _expect_within(spec, recovered[-1])
    with change_lock(recovered[-1]):
        return UndoReport(undo(recovered[-1]))


def finish_changes(spec: str) -> None:
    """Complete an interrupted change of this data set. Raises UsageError while its command is running, InputError when
    the folder cannot be written."""
    for folder in journal_folders(spec):
        if has_unfinished_change(folder):
            _expect_within(spec, folder)
            with change_lock(folder):
                recover(folder)


def _expect_within(spec: str, folder: Path) -> None:
    """Raise InputError when the real path of `folder` is outside the set of `spec`: files elsewhere are not changed."""
    path = parse_spec(spec).path
    assert path is not None  # there is a folder
    root = os.path.realpath(path if path.is_dir() else path.parent)
    real = os.path.realpath(folder)
    if os.path.commonpath([root, real]) != root:
        raise InputError(
            f"{folder}: links to {real}, outside {path}; nothing there is changed.",
            hint=f"name that folder itself, {shell_quote(real)}, or write a copy with --out",
        )


def journal_folders(spec: str) -> list[Path]:
    """Return the folders at or directly below the path of `spec` that contain a journal."""
    path = parse_spec(spec).path
    if path is None:
        return []
    folder = path if path.is_dir() else path.parent
    within = sorted(Path(entry) for entry in os.scandir(path) if is_folder(entry)) if path.is_dir() else []
    return [one for one in (folder, *within) if (one / FOLDER).is_dir()]


def label_changes(data: Annotations, cleaned: Cleaned) -> dict[Path, bytes | None]:
    """Return the new bytes of every changed label file; None: the file is removed with its image."""
    pages = page_format(data.format)
    fitted, _ = fit_to_format(cleaned.data, data.format)
    fitted = replace(fitted, images=cleaned.data.images)
    files: dict[Path, bytes | None] = {}
    old = [image for image, kept in enumerate(cleaned.kept) if kept]
    if pages.PER_IMAGE:
        for image, kept in enumerate(cleaned.kept):
            if not kept:
                files[Path(data.label_files[data.image_label[image]])] = None
    for rendered in pages.render(fitted):
        if rendered.image is None:
            file = Path(data.label_files[0])
            files[file] = _keep_unchanged_lines(rendered.content, file, data, cleaned, old)
        elif cleaned.changed[old[rendered.image]]:
            files[Path(data.label_files[data.image_label[old[rendered.image]]])] = rendered.content
    return files


def _keep_unchanged_lines(content: bytes, file: Path, data: Annotations, cleaned: Cleaned, old: list[int]) -> bytes:
    """Return the new `content` of a label file of one image a line with the old lines of unchanged images, byte for
    byte; `old` are the previous image numbers. BOM and line ends are kept."""
    if not data.image_line.all():  # a format without lines
        return content
    new, before = content.split(b"\n")[:-1], file.read_bytes()
    lines = before.removeprefix(BOM_UTF8).split(b"\n")
    if len(new) != len(old) or len(lines) < data.image_line.max():
        return content
    end = b"\r" if lines[0].endswith(b"\r") else b""
    for line, image in enumerate(old):
        new[line] = new[line] + end if cleaned.changed[image] else lines[data.image_line[image] - 1]
    joined = b"\n".join(new)
    joined = joined + b"\n" if before.endswith(b"\n") else joined.removesuffix(b"\r")
    return (BOM_UTF8 if before.startswith(BOM_UTF8) else b"") + joined


def word_changes(located: DatasetRef, data: Annotations, cleaned: Cleaned) -> dict[Path, bytes | None]:
    """Return the new bytes of the label file of word images."""
    assert isinstance(located.words, EditableFormat) and isinstance(data.words, FolderWords)
    after = iter(cleaned.data.texts)
    changes: dict[int, str | None] = {}
    for index, text in enumerate(data.texts):
        new = next(after) if cleaned.kept[index] else None
        if new != text:
            changes[index] = new
    return {Path(data.words.label_file): located.words.edit(data.words, changes)}
