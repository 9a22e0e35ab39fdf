"""`ocrctl dataset synth --pages`: write synthetic pages with their words and character quads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ocrctl.core.settings import load_settings
from ocrctl.core.streams import pages_config
from ocrctl.data.annotations.builder import Builder
from ocrctl.data.formats import words_json
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.synth.pages.background import photographs
from ocrctl.data.synth.pages.stream import SynthPages
from ocrctl.files.folder import new_folder

_QUALITY = 95  # of the JPEG files; the stream already degrades its images
_DIGITS = 2  # decimals of a coordinate: a hundredth of a pixel


@dataclass(frozen=True)
class SynthPagesReport:
    """Result of `dataset synth --pages`: a folder with images/*.jpg and train.json (words-json); `kinds` counts page
    kinds."""

    out: Path
    samples: int
    words: int
    ignored: int
    characters: int
    kinds: dict[str, int]
    labels: Path


def write_pages(
    out: Path, count: int, profiles: Sequence[str], sets: Sequence[str], *, unseen: bool,
    backgrounds: Path | None = None, progress: Callable[[int, int], None] = lambda done, total: None,
) -> SynthPagesReport:  # fmt: skip
    """Render `count` pages of the stream that `synth.*` describes into `out`, atomically.

    `unseen`: pages whose words never occur in training on synth:pages; `backgrounds` is a folder of photographs.
    Raises UsageError when `out` exists, InputError when a background cannot be read or `out` cannot be written,
    ResumableStop when the disk is full.
    """
    if backgrounds is not None:
        sets = [*sets, f"synth.backgrounds={json.dumps(str(backgrounds))}"]
    config = pages_config(load_settings(profiles, sets), "val" if unseen else "train")
    if config.backgrounds:
        photographs(config.backgrounds)  # report an empty folder before the first page
    stream = SynthPages(config)
    kinds: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    with new_folder(out, "dataset synth") as folder:
        (folder / "images").mkdir()
        labels = folder / words_json.LABEL_FILES[0]
        with labels.open("w", encoding="utf-8") as file:  # page by page, to bound the memory
            file.write('{"images": {')
            for index in range(count):
                image, words, kind = stream.sample_details(index)
                name = f"images/page_{index:06d}.jpg"
                _, encoded = cv2.imencode(
                    ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
                )
                (folder / name).write_bytes(encoded.tobytes())
                entry = json.dumps(_entry(name, image.shape[1], image.shape[0], words), ensure_ascii=False)
                file.write(f"{',' if index else ''}\n {json.dumps(name)}: {entry}")
                kinds[kind] += 1
                totals.update(
                    words=len(words),
                    ignored=sum(i or not text for i, text in zip(words.ignore.tolist(), words.texts, strict=True)),
                    characters=len(words.characters),
                )
                progress(index + 1, count)
            file.write("\n}}\n")
    return SynthPagesReport(
        out, count, totals["words"], totals["ignored"], totals["characters"], dict(kinds), out / labels.name
    )


def _entry(name: str, width: int, height: int, words: PageWords) -> dict[str, object]:
    """Return one image entry of words-json. A word cut off at the edge has no text and is ignored."""
    builder = Builder(Path(words_json.LABEL_FILES[0]), words_json.NAME)
    builder.label_file(words_json.LABEL_FILES[0])
    image = builder.image(name, size=(width, height))
    quads = np.round(words.characters.reshape(-1, 8), _DIGITS).tolist()
    ends = words.character_offsets.tolist()
    for i, text in enumerate(words.texts):
        extra = {words_json.CHARACTERS: quads[ends[i] : ends[i + 1]]}
        flat = np.round(words.polygon(i), _DIGITS).ravel().tolist()
        builder.add(image, flat, text, bool(words.ignore[i]) or not text, 0, extra)
    return words_json.image_entry(builder.build(""), 0, range(len(words)))
