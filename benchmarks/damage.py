"""Damages a copy of a real set as real sets are damaged, and counts what `dataset validate` finds of it.

python benchmarks/damage.py SPEC [--seed 0] [--keep DIR]

Put in, seeded: 26 % of the polygons pushed out of bounds (every tenth of them altogether), x and y swapped, bow ties,
repeated polygons, label lines that stand there twice, truncated JPEGs, JPEGs with an EXIF rotation that their labels do
not know, a byte order mark and mixed line ends. Then: every fault found with the right code? any polygon accused that
was not touched? does one clean leave a set without errors, does a second one change nothing, does undo give back every
byte? The copy must have one label file of lines, or one an image.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from damage_faults import Truth, damage

from ocrctl.cli.app import run
from ocrctl.data.formats.spec import open_annotations, parse_spec
from ocrctl.data.validate.run import run_rules

ALL = ["--clamp", "--repair", "--remove-bad"]
# What each fault must be called; where several stand, the geometry decides which.
RIGHT = {
    "pushed out": ("out-of-bounds",),
    "pushed out altogether": ("outside",),
    "x and y swapped": ("out-of-bounds", "outside", "counter-clockwise"),
    "bow tie": ("self-intersecting",),
    "repeated polygon": ("duplicate",),
    "truncated": ("truncated",),
    "EXIF rotation": ("exif-frame", "exif-orientation"),
    "line twice": ("listed-twice", "duplicate"),
}


def accusations(folder: Path) -> tuple[set[tuple[str, str, int, int]], set[str]]:
    """(code, image, occurrence, instance or -1) of every error and warning, and the names of the codes that judge
    images."""
    data = open_annotations(str(folder))
    findings, _ = run_rules(data)
    seen: Counter[str] = Counter()
    occurrence = []
    for name in data.images:
        occurrence.append(seen[name])
        seen[name] += 1
    spans, found, on_pictures = data.spans(), set(), set()
    for hits in findings.sorted():
        if hits.code.severity == "info":
            continue
        if hits.code.on == "image":
            on_pictures.add(hits.code.name)
        for index in hits.indices.tolist():
            image = index if hits.code.on == "image" else int(data.image_id[index])
            place = -1 if hits.code.on == "image" else index - int(spans[image])
            found.add((hits.code.name, data.images[image], occurrence[image], place))
    return found, on_pictures


def report(truth: Truth, before: set, after: set) -> bool:
    """Print recall by fault and precision by code; True when both are 1."""
    print(f"{'fault':24s} {'put in':>7s} {'found':>7s}  named")
    missed = []
    explained = set()
    touched = {(name, n, place) for _, name, n, place in truth}
    by_place: dict[tuple[str, int, int], set[str]] = {}
    for code, name, n, place in after:
        by_place.setdefault((name, n, place), set()).add(code)
    total = hit = 0
    for fault, right in RIGHT.items():
        places = [(name, n, place) for kind, name, n, place in truth if kind == fault]
        names: Counter[str] = Counter()
        for place in places:
            codes = [code for code in right if code in by_place.get(place, ())]
            explained |= {(code, *place) for code in codes}
            if codes:
                names[codes[0]] += 1
            else:
                missed.append((fault, place, sorted(by_place.get(place, ()))))
        total, hit = total + len(places), hit + sum(names.values())
        listed = ", ".join(f"{name} {count:,}" for name, count in names.most_common())
        print(f"{fault:24s} {len(places):7,d} {sum(names.values()):7,d}  {listed}")
    print(f"{'all':24s} {total:7,d} {hit:7,d}  recall {hit / total:.4f}")
    for item in missed:
        print("missed:", *item)
    print(f"\n{'code':24s} {'found':>7s} {'right':>7s} {'beside':>7s} {'before':>7s} {'wrong':>7s}  precision")
    wrong_ones = []
    for code in sorted({entry[0] for entry in after}):
        found = {entry for entry in after if entry[0] == code}
        right_ones = found & explained
        beside = {entry for entry in found - right_ones if entry[1:] in touched}  # something else of a hurt polygon
        old = {entry for entry in found - right_ones - beside if entry in before}
        wrong = found - right_ones - beside - old
        wrong_ones += sorted(wrong)
        share = 1 - len(wrong) / len(found)
        print(f"{code:24s} {len(found):7,d} {len(right_ones):7,d} {len(beside):7,d} {len(old):7,d} {len(wrong):7,d}"
              f"  {share:.4f}")  # fmt: skip
    for entry in wrong_ones[:20]:
        print("accused though not touched:", *entry)
    return not missed and not wrong_ones


def state(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def main() -> None:
    """Exit 1 when a fault is missed, a whole polygon accused, or clean or undo do not keep their word."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", help="a folder of annotated JPEGs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the damaged copy there")
    options = parser.parse_args()
    source = parse_spec(options.spec).path
    assert source is not None
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "set"
        shutil.copytree(source, folder)
        before, _ = accusations(folder)
        truth, moved = damage(folder, options.seed)
        before = {(code, name, n, moved.get((name, place), place)) for code, name, n, place in before}
        hurt = state(folder)
        after, _ = accusations(folder)
        good = report(truth, before, after)
        spec, quiet = str(folder), ["-q", "--json"]
        codes = []
        for arguments in (["validate", spec], ["clean", spec, *ALL], ["validate", spec]):
            codes.append(silent(["dataset", *arguments, *quiet]))
        cleaned = state(folder)
        left = open_annotations(spec)
        codes += [silent(["dataset", "clean", spec, *ALL, *quiet]), silent(["dataset", "clean", spec, *quiet])]
        same = state(folder) == cleaned
        codes.append(silent(["dataset", "undo", spec, *quiet]))
        back = state(folder) == hurt
    print(f"\nexit codes of validate, clean, validate, clean, dry run, undo: {codes}")
    print(f"left: {len(left.images):,} pictures, {len(left):,} instances")
    print(f"a second clean changes nothing: {same}; undo gives back every byte: {back}")
    sys.exit(not (good and same and back and codes == [1, 0, 0, 0, 0, 0]))


def silent(arguments: list[str]) -> int:
    """Exit code of a command, its report thrown away."""
    stdout = sys.stdout
    with open("/dev/null", "w") as sys.stdout:
        try:
            return run(arguments)
        finally:
            sys.stdout = stdout


if __name__ == "__main__":
    main()
