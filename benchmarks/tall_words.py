"""Which way round a tall word is best read: `python benchmarks/tall_words.py SPEC MODEL`.

Of the labelled words of SPEC whose rectangle of least area is tall as a detector would give it, how many MODEL reads
right (letters and digits, without case) upright, turned to the left or right, and by the surest of these.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np

from ocrctl import Engine
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.images.decode import decode
from ocrctl.data.images.rectify import TALL, crop
from ocrctl.errors import InputError
from ocrctl.models.outlines.rectangles import Rectangles

WAYS = ("upright", "left", "right")


def alike(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())


def main() -> None:
    data, engine = open_annotations(sys.argv[1]), Engine.load(sys.argv[2])
    spans = data.spans().tolist()
    named = [i for i in range(len(data)) if not data.ignore[i] and alike(data.texts[i])]
    quads = dict(
        zip(named, Rectangles.from_points([data.polygon(i).astype(np.float32) for i in named]).corners(), strict=True)
    )
    right: Counter[str] = Counter()
    tall = 0
    for image in range(len(data.images)):
        members = [i for i in range(spans[image], spans[image + 1]) if i in quads and high(quads[i])]
        if not members:
            continue
        try:
            pixels = decode(data.image_bytes(image), data.image_where(image))
        except InputError as error:
            print(error, file=sys.stderr)
            continue
        for index in members:
            flat = crop(pixels, quads[index])
            if flat is None:
                continue
            tall += 1
            said = engine.recognize([flat, np.rot90(flat), np.rot90(flat, -1)])
            truth = alike(data.texts[index])
            right.update(way for way, word in zip(WAYS, said, strict=True) if alike(word.text) == truth)
            for name, of in (("surest of upright and left", said[:2]), ("surest of the three", said)):
                right[name] += alike(max(of, key=lambda word: word.confidence).text) == truth
    print(f"{len(named)} words, {tall} of them tall; read right:")
    for name in (*WAYS, "surest of upright and left", "surest of the three"):
        print(f"  {name:<28}{right[name]:5}")


def high(quad: np.ndarray) -> bool:
    width, height = np.hypot(*(quad[1] - quad[0])), np.hypot(*(quad[3] - quad[0]))
    return bool(height >= TALL * width)


if __name__ == "__main__":
    main()
