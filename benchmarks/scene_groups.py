"""Images of a set by scene, and a hold-out of whole scenes: what is photographed in one part is not in the other.

python benchmarks/scene_groups.py SPEC [--hold-out 100] [--seed 0] [-o FILE] [--edges FILE.tsv] [--by lines]
python benchmarks/scene_groups.py SPEC --check FILE

Two images are of one scene when they share a rare word (letters only, at least 4, in at most 20 images, in English
less common than once in 100,000 words), when several shared words are rare together (sum of ln(images / images with
the word) of 12), or when SIFT features agree on one homography (compared for pairs that share a word, stand within 4
places of each other, or are among the 12 that look most alike). With `--by lines` (receipts, forms): when three tenths
of the shorter one's lines stand in both; no looks.
Scenes are the connected components. Whole scenes, chosen from SEED, are held out: exactly so many images, with words
as many and as large as in the set, that share as few other words with the rest as the choice allows. `--check` counts
what a list shares with its rest, beside random lists of its length.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scene_choice import choose, sharing, words_of
from scene_looks import ANY, LEAST, LIKELY, agreeing, features_of, neighbours
from wordfreq import zipf_frequency

from ocrctl.core.dataset.split import listed_images
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import open_annotations

RARE = 4.0  # Zipf frequency: once in 100,000 words
COMMON = 60  # words in more images than these say nothing
WEIGHT = 12.0  # shared words together: sum of ln(images / images with it)


@dataclass(frozen=True)
class Edge:
    """Images a < b of one scene, and why."""

    a: int
    b: int
    words: tuple[str, ...]
    agreeing: int


def by_words(data: Annotations) -> tuple[dict[tuple[int, int], list[str]], set[tuple[int, int]]]:
    """Words that each pair shares, and the pairs that are of one scene by their words alone."""
    shared: dict[tuple[int, int], list[str]] = defaultdict(list)
    weight: Counter[tuple[int, int]] = Counter()
    same = set()
    for word, images in words_of(data, 4).items():
        if 2 <= len(images) <= COMMON:
            pairs = list(itertools.combinations(sorted(images), 2))
            for pair in pairs:
                shared[pair].append(word)
                weight[pair] += np.log(len(data.images) / len(images))
            if len(images) <= 20 and zipf_frequency(word, "en") < RARE:
                same |= set(pairs)
    return shared, same | {pair for pair, sum_ in weight.items() if sum_ >= WEIGHT and len(shared[pair]) > 1}


def edges_by_scene(data: Annotations, agree: int) -> list[Edge]:
    """Pairs of one scene; `agree` features or more make one whatever the words."""
    shared, same = by_words(data)
    place = {name: number for number, name in enumerate(sorted(data.images, key=_natural))}
    ranks = sorted(range(len(data.images)), key=lambda image: place[data.images[image]])
    near = {
        (min(pair), max(pair))
        for reach in range(1, 5)
        for pair in zip(ranks, ranks[reach:], strict=False)
    }  # fmt: skip
    features = features_of(data)
    alike = set(neighbours(features, 12))
    likely = near | (alike & set(shared))
    candidates = sorted(alike | likely | set(shared))
    print(f"{len(candidates)} pairs to compare", file=sys.stderr)
    counts = {(a, b): agreeing(features[a], features[b], LIKELY if (a, b) in likely else ANY) for a, b in candidates}
    pairs = sorted(same | {pair for pair, count in counts.items() if count >= agree})
    return [Edge(a, b, tuple(shared.get((a, b), ())), counts[a, b]) for a, b in pairs]


def edges_by_lines(data: Annotations, share: float) -> list[Edge]:
    """Pairs of documents that have this share of the lines of the shorter one in common."""
    lines: list[set[str]] = [set() for _ in data.images]
    for line, images in words_of(data, 0, lines=True).items():
        for image in images:
            lines[image].add(line)
    return [
        Edge(a, b, tuple(sorted(lines[a] & lines[b])), 0)
        for a, b in itertools.combinations(range(len(lines)), 2)
        if len(lines[a] & lines[b]) >= share * max(1, min(len(lines[a]), len(lines[b])))
    ]


def scenes(count: int, edges: list[Edge]) -> NDArray[np.int64]:
    """Number (I,) of the connected component of each of `count` images."""
    group = np.arange(count)
    for edge in edges:
        group[group == group[edge.b]] = group[edge.a]
    return np.unique(group, return_inverse=True)[1]


def _natural(name: str) -> list[int | str]:
    """img_9 before img_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def report(data: Annotations, held: NDArray[np.bool_]) -> None:
    """What the held images share with the rest, and how they differ from all, beside random ones."""
    random = np.random.default_rng(1)
    others = [np.isin(np.arange(len(held)), random.choice(len(held), held.sum(), replace=False)) for _ in range(50)]
    for what, least, most in (("word of 4 letters", 4, None), ("word of 6 letters", 6, None), ("rare word", 4, RARE)):
        has, share = sharing(data, held, least, most)
        chance = np.array([sharing(data, other, least, most) for other in others]).mean(0)
        print(f"{what}: {has} of {held.sum()} have one, {share} share one; random {chance[0]:.0f}, {chance[1]:.1f}")
    heights = np.array([np.ptp(data.polygon(i), axis=0).min() for i in range(len(data))])
    for name, part in (("held out", held), ("rest", ~held)):
        mine = part[data.image_id]
        words = np.bincount(data.image_id[mine & ~data.ignore], minlength=len(held))[part]
        low, middle, high = np.percentile(heights[mine & ~data.ignore], (10, 50, 90))
        print(
            f"{name}: {part.sum()} pictures, {mine.sum()} instances, {data.ignore[mine].sum()} ignored;"
            f" words a picture {words.mean():.2f} (none in {(words == 0).sum()}),"
            f" height {low:.0f} / {middle:.0f} / {high:.0f} (10, 50, 90 %)"
        )


def main() -> None:
    """Print the scenes, and write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("--by", choices=["scene", "lines"], default="scene")
    parser.add_argument("--agree", type=int, default=LEAST, help="features on one homography that make a scene")
    parser.add_argument("--lines", type=float, default=0.3, help="share of lines that makes a scene --by lines")
    parser.add_argument("--hold-out", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, help="write the names of the hold-out there")
    parser.add_argument("--edges", type=Path, help="write every pair there: names, features that agree, words shared")
    parser.add_argument("--check", type=Path, metavar="FILE", help="judge this list, and choose none")
    options = parser.parse_args()
    data = open_annotations(options.spec)
    if options.check is not None:
        report(data, listed_images(data.images, options.check))
        return
    edges = edges_by_lines(data, options.lines) if options.by == "lines" else edges_by_scene(data, options.agree)
    if options.edges is not None:
        rows = (f"{data.images[e.a]}\t{data.images[e.b]}\t{e.agreeing}\t{' '.join(e.words)}\n" for e in edges)
        options.edges.write_text("".join(rows), encoding="utf-8")
    group = scenes(len(data.images), edges)
    sizes = Counter(np.bincount(group).tolist())
    print(f"{len(edges)} pairs, {group.max() + 1} scenes; pictures a scene: {dict(sorted(sizes.items()))}")
    if options.hold_out is None:
        return
    held = choose(data, group, options.hold_out, options.seed)
    print(f"held out: {len(set(group[held].tolist()))} scenes")
    report(data, held)
    if options.by == "lines":
        most = max(s for s in range(101) if any(held[e.a] != held[e.b] for e in edges_by_lines(data, s / 100)))
        print(f"most lines that a held document shares with one of the rest: {most} % of the shorter one's")
    if options.out is not None:
        how = f"--by {options.by} --hold-out {options.hold_out} --seed {options.seed}"
        names = sorted((Path(data.images[image]).name for image in np.flatnonzero(held)), key=_natural)
        head = ["# Pictures held out, whole scenes; made by:", f"# python benchmarks/scene_groups.py SPEC {how}"]
        options.out.write_text("\n".join([*head, *names, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
