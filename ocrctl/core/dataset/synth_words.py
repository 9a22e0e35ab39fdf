"""`ocrctl dataset synth`: write synthetic words as image files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from ocrctl.core.settings import load_settings
from ocrctl.core.streams import choose_charset, synth_config
from ocrctl.data.formats import paddleocr_rec
from ocrctl.data.synth import SynthWords
from ocrctl.files.folder import new_folder
from ocrctl.models.registry import DEFAULT_ARCH, spec_for


@dataclass(frozen=True)
class SynthReport:
    """Result of `dataset synth`: a folder with images/*.png and rec_gt.txt (PaddleOCR recognition)."""

    out: Path
    samples: int
    labels: Path


def write_words(
    out: Path, count: int, profiles: Sequence[str], sets: Sequence[str], *, unseen: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SynthReport:  # fmt: skip
    """Render `count` words of the stream that `synth.*` describes into `out`, atomically.

    `unseen`: words that never occur in training on synth:words. Raises UsageError when `out` exists, ResumableStop when
    the disk is full, InputError when `out` cannot be written.
    """
    settings = load_settings(profiles, sets)
    spec = spec_for(settings.arch or DEFAULT_ARCH, settings.model)
    config = synth_config(settings, spec, choose_charset(settings, spec), "val" if unseen else "train")
    words = SynthWords(config)

    def samples() -> Iterator[tuple[bytes, str]]:
        for index in range(count):
            progress(index, count)
            yield _encoded(words, index)

    with new_folder(out, "dataset synth") as folder:
        labels = paddleocr_rec.write(samples(), folder)
    return SynthReport(out, count, out / labels.relative_to(folder))


def _encoded(words: SynthWords, index: int) -> tuple[bytes, str]:
    image, label = words.sample(index)
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes(), label
