"""`ocrctl dataset split`."""

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

_LARGEST_SHARE = 1e9


@dataclass(frozen=True)
class SplitReport:
    """The parts, largest first."""

    parts: dict[str, Written]
    groups: int
    joined: int  # groups that went into another one because they hold the same picture


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
    """Part a set by picture into folders of `out`; pictures of one group stay together, and so do groups that share a
    picture under two names.

    `group`: regular expression whose first group (or whole match) in a picture's name names its group. Without it,
    pages whose names differ in folder and suffix alone are one. Parts are filled so
    that the numbers of pictures and of instances of each length follow the shares. `listed`: a file that names the
    pictures of the second of two parts (`listed_pictures`); shares and seed then decide nothing. Raises UsageError when
    there are fewer groups than parts, or the parts are no parts.
    """
    check_parts(shares)
    if listed is not None and (group is not None or len(shares) != 2):
        raise UsageError("--list names the pictures of the second of two parts; it goes with no --group.")
    located = locate(spec)
    data = located.annotations()
    check_outside_images(spec, data, allow_outside)
    with new_folder(out, "dataset split") as folder:  # claimed before the pictures are compared, which takes longest
        keys = data.images if group is None and data.words is not None else group_keys(data.images, group)
        named = len(set(keys))
        if listed is None:
            keys = joined(keys, data, scan_images(data, Findings(), progress=progress))
        groups = len(set(keys))
        if groups < len(shares):
            why = (
                "Check --group." if group is not None else "Pictures of one name, or that look the same, stay together."
            )
            raise UsageError(f"{spec}: {groups} groups cannot be parted into {len(shares)}.", hint=why)
        if listed is not None:
            part = listed_pictures(data.images, listed).astype(np.int64)
        else:
            part = assign(data, keys, list(shares.values()), seed)
        parts: dict[str, Written] = {}
        words = word_format(format_name) if format_name and located.words is not None else located.words
        for number, name in enumerate(shares):
            (folder / name).mkdir()
            chosen = data.subset(np.ones(len(data), bool), part == number)
            if words is not None:
                written = fill_words(chosen, words, folder / name)
            else:
                written = fill_pages(chosen, format_name or data.format, folder / name)
            parts[name] = replace(written, out=out / name)
    return SplitReport(parts, groups, named - groups)


def check_parts(shares: dict[str, float]) -> None:
    """Raise UsageError unless there are two parts or more, each a folder's name with a share above 0, fractions of no
    more than 1."""
    if len(shares) < 2:
        raise UsageError("--part: a set is split into two parts or more.", hint="--part train=0.9 --part val=0.1")
    for name, share in shares.items():
        if name in (".", "..") or "/" in name or os.sep in name:
            raise UsageError(f"--part {name}: is no name of a folder; parts stand side by side in OUT.")
        if not 0 < share <= _LARGEST_SHARE:
            raise UsageError(f"--part {name}={share:g}: a share is a number above 0, of at most {_LARGEST_SHARE:g}.")
    if sum(shares.values()) > 1.0001 and max(shares.values()) < 1:
        total = " + ".join(f"{share:g}" for share in shares.values())
        raise UsageError(f"--part: {total} is more than the whole.", hint="--part train=0.9 --part val=0.1")


def group_keys(images: list[str], group: str | None) -> list[str]:
    """The group of each picture."""
    if group is None:
        return [Path(image).stem for image in images]
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise UsageError(f"--group {group}: is no regular expression ({error}).") from error
    keys = []
    for image in images:
        match = pattern.search(image)
        if match is None:
            raise UsageError(f"--group {group}: does not match {image}.")
        keys.append(match[1] if pattern.groups else match[0])
    return keys


def joined(keys: list[str], data: Annotations, scan: ImageScan) -> list[str]:
    """`keys` with those of groups made one that share a picture: byte for byte or, of pages, to look at. What
    `dataset validate --against` calls the same picture cannot stand in two parts then."""
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


def listed_pictures(images: list[str], file: Path) -> NDArray[np.bool_]:
    """(I,) whether `file` names a picture: one name a line, as the label file has it or its last parts; `#` comments.

    Raises InputError naming file:line when a name fits no picture, several, or one that was named before, and when
    nothing or everything is named.
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
        fits = ends.get(name, [])
        if len(fits) != 1:
            hint = "Write more of its path." if fits else None
            raise InputError(f"{file}:{line}: {name} is the name of {len(fits) or 'no'} pictures.", hint=hint)
        if chosen[fits[0]]:
            raise InputError(f"{file}:{line}: {name} is listed twice.")
        chosen[fits[0]] = True
    if chosen.all() or not chosen.any():
        raise InputError(f"{file}: names {'every picture' if chosen.any() else 'no picture'}; one part would be empty.")
    return chosen


def assign(data: Annotations, keys: list[str], shares: list[float], seed: int) -> NDArray[np.int64]:
    """The part (I,) of each picture: groups, largest first after a seeded shuffle, each to the part that lacks most of
    what it holds, counted in pictures and in instances of each length class."""
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
