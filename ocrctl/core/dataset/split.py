"""`ocrctl dataset split`: split a data set by image, keeping groups and duplicates together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.core.dataset.outside_images import check_outside_images
from ocrctl.core.dataset.write_pages import Written, fill_pages
from ocrctl.core.dataset.write_words import fill_words
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import word_format
from ocrctl.data.formats.spec import locate
from ocrctl.data.lmdb.word_source import read_lines
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.validate.image_rules import similar_images
from ocrctl.data.validate.image_scan import ImageScan, scan_images
from ocrctl.errors import InputError, UsageError
from ocrctl.files.folder import new_folder

_MAX_SHARE = 1e9


@dataclass(frozen=True)
class SplitReport:
    """Result of `dataset split`."""

    parts: dict[str, Written]
    groups: int
    joined: int  # groups merged with another one because they share an image


def split(
    spec: str,
    out: Path,
    shares: dict[str, float],
    *,
    seed: int = 0,
    group: str | None = None,
    listed: Path | None = None,
    format_name: str | None,
    allow_outside: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SplitReport:
    """Split a set by image into folders of `out`; groups stay together, and so do groups that share an image.

    `group`: regular expression whose first group (or whole match) in an image name is its group. Without it, pages
    whose names differ only in folder and suffix are one group. The counts of images and of instances of each length
    class follow the shares. `listed`: a file with the images of the second of two parts (`listed_images`); shares and
    seed are then ignored. Raises UsageError when there are fewer groups than parts, or for invalid parts.
    """
    check_parts(shares)
    if listed is not None and (group is not None or len(shares) != 2):
        raise UsageError("--list selects the images of the second of two parts; it cannot be combined with --group.")
    located = locate(spec)
    data = located.annotations()
    check_outside_images(spec, data, allow_outside)
    with new_folder(out, "dataset split") as folder:  # locked before the slow comparison of images
        keys = data.images if group is None and data.words is not None else group_keys(data.images, group)
        named = len(set(keys))
        if listed is None:
            keys = merge_groups(keys, data, scan_images(data, Findings(), progress=progress))
        groups = len(set(keys))
        if groups < len(shares):
            why = "check --group" if group is not None else "images with the same name or content stay together"
            raise UsageError(f"{spec}: {groups} groups cannot be split into {len(shares)} parts.", hint=why)
        if listed is not None:
            part = listed_images(data.images, listed).astype(np.int64)
        else:
            part = assign(data, keys, list(shares.values()), seed)
        parts: dict[str, Written] = {}
        words = word_format(format_name) if format_name and located.words is not None else located.words
        for number, name in enumerate(shares):
            (folder / name).mkdir()
            chosen = data.subset(np.ones(len(data), bool), part == number)
            before = int((part < number).sum())

            def copied(done: int, total: int, before: int = before) -> None:
                progress(before + done, len(part))

            if words is not None:
                written = fill_words(chosen, words, folder / name, copied)
            else:
                written = fill_pages(chosen, format_name or data.format, folder / name, progress=copied)
            parts[name] = replace(written, out=out / name)
    return SplitReport(parts, groups, named - groups)


def check_parts(shares: dict[str, float]) -> None:
    """Raise UsageError unless there are at least two parts, each a folder name with a share above 0; fractions sum to
    at most 1."""
    if len(shares) < 2:
        raise UsageError("--part: at least two parts are required.", hint="--part train=0.9 --part val=0.1")
    for name, share in shares.items():
        if name in (".", "..") or "/" in name or os.sep in name:
            raise UsageError(f"--part {name}: not a folder name; parts are folders in OUT.")
        if not 0 < share <= _MAX_SHARE:
            raise UsageError(f"--part {name}={share:g}: a share is a number above 0 and at most {_MAX_SHARE:g}.")
    if sum(shares.values()) > 1.0001 and max(shares.values()) < 1:
        total = " + ".join(f"{share:g}" for share in shares.values())
        raise UsageError(f"--part: {total} is more than 1.", hint="--part train=0.9 --part val=0.1")


def group_keys(images: list[str], group: str | None) -> list[str]:
    """Return the group of each image."""
    if group is None:
        return [Path(image).stem for image in images]
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise UsageError(f"--group {group}: not a regular expression ({error}).") from error
    keys = []
    for image in images:
        match = pattern.search(image)
        if match is None:
            raise UsageError(f"--group {group}: does not match {image}.")
        keys.append(match[1] if pattern.groups else match[0])
    return keys


def merge_groups(keys: list[str], data: Annotations, scan: ImageScan) -> list[str]:
    """Merge groups that share an image: identical bytes or, for pages, near duplicates as in `dataset validate
    --against`. Returns the merged `keys`."""
    leader = {key: key for key in keys}

    def lead(key: str) -> str:
        while leader[key] != key:
            leader[key] = key = leader[leader[key]]
        return key

    seen: dict[bytes, str] = {}
    for key, digest in zip(keys, scan.digests, strict=True):
        if digest:
            leader[lead(key)] = lead(seen.setdefault(digest, key))
    if data.words is None:
        pairs = similar_images(scan.hashes, scan.hashes[:, 0] > 0, partial(scan.thumbnail, data))
        for later, earlier in pairs.tolist():
            leader[lead(keys[later])] = lead(keys[earlier])
    return [lead(key) for key in keys]


def listed_images(images: list[str], file: Path) -> NDArray[np.bool_]:
    """Return (I,) whether `file` lists an image: one name a line, as in the label file or its last parts; `#` comments.

    Raises InputError naming file:line when a name matches no image, several, or one listed before, and when no image or
    every image is listed.
    """
    ends: dict[str, list[int]] = {}
    for number, image in enumerate(images):
        parts = image.split("/")
        for start in range(len(parts)):
            ends.setdefault("/".join(parts[start:]), []).append(number)
    chosen = np.zeros(len(images), bool)
    for line, text in enumerate(read_lines(file), 1):
        name = text.strip()
        if not name or name.startswith("#"):
            continue
        matches = ends.get(name, [])
        if len(matches) != 1:
            hint = "give more of its path" if matches else None
            raise InputError(f"{file}:{line}: {name} matches {len(matches) or 'no'} images.", hint=hint)
        if chosen[matches[0]]:
            raise InputError(f"{file}:{line}: {name} is listed twice.")
        chosen[matches[0]] = True
    if chosen.all() or not chosen.any():
        raise InputError(f"{file}: lists {'every image' if chosen.any() else 'no image'}; one part would be empty.")
    return chosen


def assign(data: Annotations, keys: list[str], shares: list[float], seed: int) -> NDArray[np.int64]:
    """Assign each image to a part, (I,): groups, largest first after a seeded shuffle, each to the part that lacks most
    of its images and instances of each length class."""
    groups = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    group_of = np.array([groups[key] for key in keys])
    length = np.fromiter((min(len(text), 15) // 4 for text in data.texts), np.int64, len(data))
    held = np.zeros((len(groups), 5))
    held[:, 0] = np.bincount(group_of, minlength=len(groups))
    np.add.at(held, (group_of[data.image_id], 1 + length), 1.0)
    held /= np.maximum(held.sum(0), 1)
    wanted = np.asarray(shares) / sum(shares)
    filled = np.zeros((len(shares), 5))
    part = np.zeros(len(groups), np.int64)
    order = np.random.default_rng(seed).permutation(len(groups))
    for number in order[np.argsort(-held[order].sum(1), kind="stable")]:
        lack = (wanted[:, None] - filled) @ (held[number] + 1e-9) / wanted
        part[number] = int(np.argmax(lack))
        filled[part[number]] += held[number]
    return part[group_of]
